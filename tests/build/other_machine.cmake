# A build folder that is taken to a machine with other instructions notices at the next build, and
# compiles anew. The machines are a compiler whose -march=native is what a file says.
cmake_minimum_required(VERSION 3.25)

include("${CMAKE_CURRENT_LIST_DIR}/../support/run.cmake")

# What the program is compiled with now.
function(flags out)
  file(STRINGS "${WORK_DIR}/build/build.ninja" lines REGEX "WEIR_NATIVE_TARGET=[0-9a-fx]+")
  string(REGEX MATCH "WEIR_NATIVE_TARGET=[0-9a-fx]+" found "${lines}")
  if(found STREQUAL "")
    message(FATAL_ERROR "no flag names the machine")
  endif()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK_DIR}")
file(MAKE_DIRECTORY "${WORK_DIR}")
file(WRITE "${WORK_DIR}/march" "x86-64-v3")
file(WRITE "${WORK_DIR}/compiler" "#!/usr/bin/env bash
march=\"$(cat '${WORK_DIR}/march')\"
exec '${COMPILER}' \"\${@/#-march=native/-march=$march}\"
")
file(CHMOD "${WORK_DIR}/compiler" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)

run("${CMAKE_COMMAND}" -G Ninja -S "${WEIR_DIR}" -B "${WORK_DIR}/build"
    "-DCMAKE_CXX_COMPILER=${WORK_DIR}/compiler" -DWEIR_TESTS=OFF -DWEIR_BENCH=OFF)
flags(before)

set(build "${CMAKE_COMMAND}" --build "${WORK_DIR}/build" --target weir_processor)
run(${build})
flags(again)
if(NOT again STREQUAL before OR output MATCHES "Re-running CMake")
  message(FATAL_ERROR "on the same machine: '${before}', then '${again}':\n${output}")
endif()

file(WRITE "${WORK_DIR}/march" "x86-64")
run(${build})
flags(after)
if(after STREQUAL before)
  message(FATAL_ERROR "on another machine still '${after}':\n${output}")
endif()
