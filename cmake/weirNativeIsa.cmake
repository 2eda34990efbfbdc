# weir_native_isa(name flags): the instruction set of weir::compiled that fits this machine, and how
# the compiler is told to use all that the machine has.
function(weir_native_isa name flags)
  set(options ${weir_native_flags})
  execute_process(
    COMMAND "${CMAKE_CXX_COMPILER}" ${options} -dM -E -x c++ /dev/null
    OUTPUT_VARIABLE macros ERROR_VARIABLE problem RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(WARNING "${CMAKE_CXX_COMPILER} does not know ${options}; building for any processor "
                    "of this kind: ${problem}")
    set(options "")
  endif()
  set(found sse2)
  if(macros MATCHES "__aarch64__")
    set(found neon)
  elseif(macros MATCHES "__AVX512VNNI__" AND macros MATCHES "__AVX512BW__"
         AND macros MATCHES "__AVX512VL__" AND macros MATCHES "__AVX512DQ__")
    set(found avx512)
  elseif(macros MATCHES "__AVX2__" AND macros MATCHES "__FMA__" AND macros MATCHES "__F16C__")
    set(found avx2)
  endif()
  set(${name} ${found} PARENT_SCOPE)
  set(${flags} ${options} PARENT_SCOPE)
endfunction()
