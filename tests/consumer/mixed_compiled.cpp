// A unit with VBP_COMPILED, in one program with the header-only unit mixed_header_only.cpp. Each uses its own
// vbp. With PASS_OBJECT this one passes an object of vbp to the other, which must not link.

#include <vbp/prune/mlp.hpp>
#include <vbp/stats/statistics.hpp>

double variance_header_only(const float* samples, int rows, int columns);
void observe_header_only(vbp::Statistics<double>& statistics);

int main() {
  const vbp::Matrix<float> samples = vbp::Matrix<float>::Random(100, 16);
  vbp::Statistics<double> statistics(samples.cols());
  statistics.observe(samples);
#if defined(PASS_OBJECT)
  observe_header_only(statistics);
#endif
  const double here = statistics.variance()(0);
  const double there = variance_header_only(samples.data(), 100, 16);
  const double difference = here < there ? there - here : here - there;
  return difference < 1e-9 ? 0 : 1;
}
