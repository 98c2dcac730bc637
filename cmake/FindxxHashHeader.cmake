# This module finds xxHash as a header (used with XXH_INLINE_ALL). Distributions ship xxhash.h without a CMake
# package.
#
# Defines the target xxHashHeader::xxHashHeader. Its name differs from upstream's xxHash::xxhash, because that target
# links the compiled library.
find_path(xxHashHeader_INCLUDE_DIR xxhash.h)
mark_as_advanced(xxHashHeader_INCLUDE_DIR)
if(xxHashHeader_INCLUDE_DIR)
  file(STRINGS "${xxHashHeader_INCLUDE_DIR}/xxhash.h" _lines REGEX "#[ ]*define XXH_VERSION_(MAJOR|MINOR|RELEASE)")
  string(REGEX REPLACE ".*MAJOR +([0-9]+).*MINOR +([0-9]+).*RELEASE +([0-9]+).*" "\\1.\\2.\\3"
                       xxHashHeader_VERSION "${_lines}")
  unset(_lines)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  xxHashHeader
  REQUIRED_VARS xxHashHeader_INCLUDE_DIR
  VERSION_VAR xxHashHeader_VERSION)

if(xxHashHeader_FOUND AND NOT TARGET xxHashHeader::xxHashHeader)
  add_library(xxHashHeader::xxHashHeader INTERFACE IMPORTED)
  target_include_directories(xxHashHeader::xxHashHeader INTERFACE "${xxHashHeader_INCLUDE_DIR}")
endif()
