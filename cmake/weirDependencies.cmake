# Shared by weir's own build and by the installed package.

# Some distributions' xsimd target links `xtl` without shipping or needing it, which ends as a
# linker error about -lxtl. Take it off where no such target exists.
function(weir_repair_xsimd)
  get_target_property(libraries xsimd INTERFACE_LINK_LIBRARIES)
  if(libraries AND NOT TARGET xtl AND "xtl" IN_LIST libraries)
    find_package(xtl QUIET)
    if(NOT TARGET xtl)
      list(REMOVE_ITEM libraries xtl)
      set_target_properties(xsimd PROPERTIES INTERFACE_LINK_LIBRARIES "${libraries}")
    endif()
  endif()
endfunction()
