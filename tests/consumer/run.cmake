# Builds tests/consumer/main.cpp in the way named by WAY, from nothing, and checks what it prints.
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed: ${command}\n${out}")
  endif()
  set(output "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK_DIR}/build" "${WORK_DIR}/prefix")
file(MAKE_DIRECTORY "${WORK_DIR}/build")
set(library weir::weir)
if(WAY STREQUAL "compiled")
  set(library weir::compiled)
endif()
set(configure "${CMAKE_COMMAND}" -B "${WORK_DIR}/build" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" -DCMAKE_BUILD_TYPE=Release)

if(WAY MATCHES "^(installed|compiled)$")
  run("${CMAKE_COMMAND}" --install "${WEIR_BUILD_DIR}" --prefix "${WORK_DIR}/prefix")
  run(${configure} -S "${CMAKE_CURRENT_LIST_DIR}/installed"
      "-DCMAKE_PREFIX_PATH=${WORK_DIR}/prefix" "-DWEIR_LIBRARY=${library}")
  run("${CMAKE_COMMAND}" --build "${WORK_DIR}/build")
elseif(WAY STREQUAL "subdirectory")
  run(${configure} -S "${CMAKE_CURRENT_LIST_DIR}/subdirectory" "-DWEIR_DIR=${WEIR_DIR}")
  run("${CMAKE_COMMAND}" --build "${WORK_DIR}/build")
else()
  run("${COMPILER}" -std=c++20 -O2 -ffp-contract=off -pthread "-I${WEIR_DIR}/include"
      "${CMAKE_CURRENT_LIST_DIR}/main.cpp" -o "${WORK_DIR}/build/consumer")
endif()

run("${WORK_DIR}/build/consumer")
if(NOT output MATCHES "${EXPECT}")
  message(FATAL_ERROR "printed '${output}', expected '${EXPECT}'")
endif()
