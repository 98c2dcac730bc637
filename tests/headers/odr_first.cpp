#include <vbp/vbp.hpp>

#if defined(JPEG_LIB_VERSION) || defined(PNG_LIBPNG_VER) || defined(GOOGLE_PROTOBUF_VERSION)
#error "vbp/vbp.hpp must not need the library of an optional component"
#endif

vbp::Index second_unit(const vbp::Matrix<float>& matrix);

int main() {
  const vbp::Matrix<float> matrix = vbp::Matrix<float>::Ones(2, 3);
  return second_unit(matrix) == 6 ? 0 : 1;
}
