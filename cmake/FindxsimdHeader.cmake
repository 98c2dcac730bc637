# This module finds xsimd's headers without using xsimd's CMake package. In Debian 12, that package links a library
# xtl that the headers do not need and that the Debian package does not depend on.
#
# Defines the target xsimdHeader::xsimdHeader. If the project already has a target xsimd, its headers are used.
if(TARGET xsimd)
  get_target_property(xsimdHeader_INCLUDE_DIR xsimd INTERFACE_INCLUDE_DIRECTORIES)
else()
  find_path(xsimdHeader_INCLUDE_DIR xsimd/xsimd.hpp)
  mark_as_advanced(xsimdHeader_INCLUDE_DIR)
  if(xsimdHeader_INCLUDE_DIR)
    file(STRINGS "${xsimdHeader_INCLUDE_DIR}/xsimd/config/xsimd_config.hpp" _lines
         REGEX "#define XSIMD_VERSION_(MAJOR|MINOR|PATCH)")
    string(REGEX REPLACE ".*MAJOR +([0-9]+).*MINOR +([0-9]+).*PATCH +([0-9]+).*" "\\1.\\2.\\3" xsimdHeader_VERSION
                         "${_lines}")
    unset(_lines)
  endif()
endif()

include(FindPackageHandleStandardArgs)
if(TARGET xsimd)
  find_package_handle_standard_args(xsimdHeader REQUIRED_VARS xsimdHeader_INCLUDE_DIR)
else()
  find_package_handle_standard_args(
    xsimdHeader
    REQUIRED_VARS xsimdHeader_INCLUDE_DIR
    VERSION_VAR xsimdHeader_VERSION)
endif()

if(xsimdHeader_FOUND AND NOT TARGET xsimdHeader::xsimdHeader)
  add_library(xsimdHeader::xsimdHeader INTERFACE IMPORTED)
  target_include_directories(xsimdHeader::xsimdHeader INTERFACE "${xsimdHeader_INCLUDE_DIR}")
endif()
