# The dependencies of vbp. Each is taken from the system. If it is not installed, it is fetched from its own repository
# in the version that vbp is tested with. If FETCHCONTENT_SOURCE_DIR_<NAME> is set to a local copy, nothing is
# downloaded.
include(FetchContent)

# vbp_header_dependency(<name> <package> <minimum version> <target> <include folder> <repository> <tag>)
#
# Defines <target> for a header-only library. If the consuming project has already defined the target, it is not
# changed. The build files of a fetched library are not run, because only its headers are used. For this purpose
# SOURCE_SUBDIR names a folder that does not exist.
function(vbp_header_dependency name package minimum target include_folder repository tag)
  if(TARGET ${target})
    return()
  endif()
  find_package(${package} ${minimum} QUIET GLOBAL)
  if(TARGET ${target})
    return()
  endif()
  message(STATUS "vbp: ${name} >= ${minimum} is not installed, fetching ${tag}")
  FetchContent_Declare(
    ${name}
    GIT_REPOSITORY ${repository}
    GIT_TAG ${tag}
    GIT_SHALLOW ON
    SOURCE_SUBDIR headers-only)
  FetchContent_MakeAvailable(${name})
  string(TOLOWER ${name} lower)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} INTERFACE "${${lower}_SOURCE_DIR}/${include_folder}")
  set(${lower}_SOURCE_DIR "${${lower}_SOURCE_DIR}" PARENT_SCOPE)
endfunction()

vbp_header_dependency(Eigen3 Eigen3 3.4 Eigen3::Eigen "" https://gitlab.com/libeigen/eigen.git 3.4.0)
vbp_header_dependency(xsimd xsimdHeader 8.1 xsimdHeader::xsimdHeader include
                      https://github.com/xtensor-stack/xsimd.git 8.1.0)
vbp_header_dependency(nlohmann_json nlohmann_json 3.10 nlohmann_json::nlohmann_json include
                      https://github.com/nlohmann/json.git v3.11.2)
vbp_header_dependency(xxHash xxHashHeader 0.8 xxHashHeader::xxHashHeader "" https://github.com/Cyan4973/xxHash.git
                      v0.8.1)
find_package(Threads REQUIRED GLOBAL)

# For the tests: Catch2 version 2 or 3, and its function catch_discover_tests.
macro(vbp_find_catch2)
  find_package(Catch2 QUIET)
  if(NOT Catch2_FOUND)
    vbp_header_dependency(Catch2 Catch2 2.13 Catch2::Catch2 single_include https://github.com/catchorg/Catch2.git v2.13.10)
    list(APPEND CMAKE_MODULE_PATH "${catch2_SOURCE_DIR}/contrib")
  endif()
  include(Catch)
endmacro()

# For the command line of the tool: CLI11.
macro(vbp_find_cli11)
  vbp_header_dependency(CLI11 CLI11 2.1 CLI11::CLI11 include https://github.com/CLIUtils/CLI11.git v2.1.2)
endmacro()

# For the benchmarks: Google Benchmark.
macro(vbp_find_benchmark)
  if(NOT TARGET benchmark::benchmark)
    find_package(benchmark 1.7 QUIET)
  endif()
  if(NOT TARGET benchmark::benchmark)
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    FetchContent_Declare(
      benchmark
      GIT_REPOSITORY https://github.com/google/benchmark.git
      GIT_TAG v1.7.1
      GIT_SHALLOW ON)
    FetchContent_MakeAvailable(benchmark)
  endif()
endmacro()
