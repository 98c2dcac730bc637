# One program of a header-only unit and a compiled one, with the vbp that is installed in PREFIX.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")

configure(mixed "-DCMAKE_PREFIX_PATH=${PREFIX}")
run(${CMAKE_COMMAND} --build "${WORK}/build" --target side_by_side)
run("${WORK}/build/side_by_side")
must_not_link(pass_object "compiled_eigen_align_[0-9]+_system_malloc_[01]::Statistics")
