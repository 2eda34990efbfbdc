# Fails if an object of weir::compiled defines anything that an object for another instruction set
# may define too: a linker would keep one of both.
include("${CMAKE_CURRENT_LIST_DIR}/names.cmake")
string(REPLACE "|" ";" objects "${OBJECTS}")
set(known 0)
foreach(object IN LISTS objects)
  names_in(names "${object}")
  foreach(name IN LISTS names)
    if(name MATCHES "weir::for_[a-z0-9]+" OR name MATCHES "^weir_${ISA}_")
      math(EXPR known "${known} + 1")
    elseif(NOT name MATCHES "^DW\\.ref\\.")  # an address
      message(SEND_ERROR "${object} defines ${name}")
    endif()
  endforeach()
endforeach()
if(known LESS 100)
  message(FATAL_ERROR "${known} names of weir: too few to tell anything")
endif()
