"""Cost and accuracy of a vacancy hop: seiflow, climbing bands with plain ASE, and matcalc, on the same potential.

Run ``python benchmarks/migration.py [IMAGE_DISTANCE]``. One thread. Hop: the shortest one of the mobile ion. Every method gets the same
calculator, which computes no stress unless asked, and the same perfect supercell. The peers relax both ends and run five moving
images; matcalc is given the ends that ASE relaxed. The reference is a band started off the straight line and converged tightly.
The default supercells are small, for a run of minutes; 8 (Å) gives the supercells that seiflow takes by default.
"""

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from ase import Atoms
from ase.build import find_mic
from ase.mep import NEB
from ase.optimize import BFGS
from elasticity import CountingCalculator, relaxed_phase
from numpy.typing import NDArray

from seiflow.calculators.chgnet import chgnet
from seiflow.engine import Engine
from seiflow.properties.migration.hop import Barrier, hop_barrier
from seiflow.properties.migration.network import Network, hop_network, make_supercell
from seiflow.properties.migration.states import relax_vacancy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.settings import MigrationSettings
