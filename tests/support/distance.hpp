#pragma once
/// The relative distance of two matrices of any scalar types.

namespace vbp_test {

template <class A, class B>
double relative_distance(const A& actual, const B& expected) {
  return (actual.template cast<double>() - expected.template cast<double>()).norm() /
         expected.template cast<double>().norm();
}

}  // namespace vbp_test
