# cmake -DCOMPILER=<compiler> -DOUTPUT=<file> -P nativeTarget.cmake
# Writes what -march=native is on this machine, as the macros it defines, unless the file says so
# already. A build folder that was made on a machine with more instructions would otherwise go on
# with objects that this one cannot run.
cmake_minimum_required(VERSION 3.25)

file(WRITE "${OUTPUT}.empty.cpp" "")
execute_process(COMMAND "${COMPILER}" -march=native -dM -E "${OUTPUT}.empty.cpp"
  RESULT_VARIABLE status OUTPUT_VARIABLE macros ERROR_VARIABLE macros)
if(NOT status EQUAL 0)  # said elsewhere, where it matters
  set(macros unknown)
endif()
string(REPLACE "\n" ";" macros "${macros}")
list(SORT macros)
list(JOIN macros "\n" macros)
set(before "")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" before)
endif()
if(NOT macros STREQUAL before)
  file(WRITE "${OUTPUT}" "${macros}")
endif()
