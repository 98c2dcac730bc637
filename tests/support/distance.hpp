#pragma once
/// How far matrices of any type are from each other.

namespace vbp_test {

template <class A, class B>
double relative_distance(const A& actual, const B& expected) {
  return (actual.template cast<double>() - expected.template cast<double>()).norm() /
         expected.template cast<double>().norm();
}

}  // namespace vbp_test
