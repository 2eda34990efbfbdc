# Builds tests/consumer/main.cpp in the way named by WAY, from nothing, and checks what it prints.
# WAY=errors: also without_exceptions.cpp, which shows what errors come to.
cmake_minimum_required(VERSION 3.25)

include("${CMAKE_CURRENT_LIST_DIR}/../support/run.cmake")

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
  separate_arguments(compile UNIX_COMMAND "${FLAGS} -ffp-contract=off -pthread")
  list(PREPEND compile "${COMPILER}" "-I${WEIR_DIR}/include")
  run(${compile} "${CMAKE_CURRENT_LIST_DIR}/main.cpp" -o "${WORK_DIR}/build/consumer")
endif()

run("${WORK_DIR}/build/consumer")
if(NOT output MATCHES "${EXPECT}")
  message(FATAL_ERROR "printed '${output}', expected '${EXPECT}'")
endif()

if(WAY STREQUAL "errors")
  run(${compile} -fsyntax-only "${CMAKE_CURRENT_LIST_DIR}/../warnings/every_policy.cpp")
  set(program "${WORK_DIR}/build/without_exceptions")
  run(${compile} "${CMAKE_CURRENT_LIST_DIR}/without_exceptions.cpp" -o "${program}")
  # what the handler does, what goes wrong, exit status, what is printed
  function(expect handler error status text)
    execute_process(COMMAND "${program}" ${handler} ${error}
      RESULT_VARIABLE got OUTPUT_VARIABLE out ERROR_VARIABLE out WORKING_DIRECTORY "${WORK_DIR}")
    if(NOT got MATCHES "${status}" OR NOT out MATCHES "${text}")
      message(FATAL_ERROR "${handler} ${error}: '${got}', expected '${status}'; "
        "printed '${out}', expected '${text}'")
    endif()
  endfunction()
  foreach(error file thread)
    expect(told ${error} "^7$" "^told bad_file: nowhere.gguf: cannot be opened")
  endforeach()
  expect(told config "^7$" "^told bad_config: threads: 5000")
  expect(told call "^7$" "^told bad_call: commit: 0 layers attended")
  expect(unset file "abort" "^weir: bad_file: nowhere.gguf: cannot be opened")
  expect(returns file "abort" "^$")
endif()
