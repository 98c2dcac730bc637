// The header-only unit beside mixed_compiled.cpp.

#include <vbp/prune/mlp.hpp>
#include <vbp/stats/statistics.hpp>

double variance_header_only(const float* samples, int rows, int columns);
void observe_header_only(vbp::Statistics<double>& statistics);

double variance_header_only(const float* samples, int rows, int columns) {
  vbp::Statistics<double> statistics(columns);
  statistics.observe(vbp::Matrix<float>(Eigen::Map<const vbp::Matrix<float>>(samples, rows, columns)));
  return statistics.variance()(0);
}

void observe_header_only(vbp::Statistics<double>& statistics) {
  statistics.observe(vbp::Matrix<float>::Random(10, statistics.features()));
}
