#!/bin/sh
# Prints what GPAW is to be compiled with here, for the variable GPAW_CONFIG: BLAS, and what there is of MPI, ScaLAPACK and FFTW.
# Its own script builds for MPI wherever there is mpic++, also where the headers are missing, and takes the other two only when told.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# compiles a program from its lines, with a library if one is named
builds() {
  compiler=$1 library=$2
  shift 2
  printf '%s\n' "$@" > "$folder/program.cpp"
  "$compiler" "$folder/program.cpp" -o "$folder/program" ${library:+"-l$library"} > /dev/null 2>&1
}

echo 'libraries.append("blas")'
if builds mpic++ '' '#include <mpi.h>' 'int main() { return MPI_Finalized(0); }'; then
  scalapack=
  for pair in OPEN_MPI:scalapack-openmpi MPICH:scalapack-mpich MPI_VERSION:scalapack; do
    if [ -z "$scalapack" ] && builds mpic++ "${pair#*:}" '#include <mpi.h>' "#ifndef ${pair%%:*}" '#error' '#endif' \
      'extern "C" void Cblacs_pinfo(int*, int*);' 'int main() { int rank, size; Cblacs_pinfo(&rank, &size); }'; then
      scalapack=${pair#*:}
      printf 'scalapack = True\nlibraries.append("%s")\n' "$scalapack"
    fi
  done
else
  echo 'mpi = False'
fi
if builds g++ fftw3 '#include <fftw3.h>' 'int main() { fftw_cleanup(); }'; then
  printf 'fftw = True\nlibraries.append("fftw3")\n'
fi
