cmake_policy(VERSION 3.25)

# names_in(out object): all that an object defines for others, demangled, a name an element.
function(names_in out object)
  execute_process(COMMAND "${NM}" -C --defined-only --extern-only "${object}"
    OUTPUT_VARIABLE listing RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${NM} cannot read ${object}")
  endif()
  string(REPLACE ";" "," listing "${listing}")
  string(REPLACE "[" "(" listing "${listing}")
  string(REPLACE "]" ")" listing "${listing}")
  string(REGEX REPLACE "(^|\n)[0-9a-f]+ [A-Za-z] " "\\1" listing "${listing}")
  string(REPLACE "\n" ";" listing "${listing}")
  list(REMOVE_ITEM listing "")
  set(${out} "${listing}" PARENT_SCOPE)
endfunction()
