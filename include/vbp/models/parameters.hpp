#pragma once
/// What every family gets from its list of parameters, for_each_parameter.

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// A model, const or not, with a configuration of this type: which family's list of parameters is meant.
template <class Model, class Config>
concept ModelOf = std::same_as<std::remove_cvref_t<decltype(Model::config)>, Config>;

/// Gives every parameter the shape that the model's configuration asks for, and zeros.
template <class Model>
void set_parameters_zero(Model& model) {
  for_each_parameter(model, [](const std::string&, auto& parameter, Index rows, Index cols) {
    parameter.setZero(rows, cols);
  });
}

/// A model of the same shape with every parameter zero: a gradient, a sum, a mean.
template <class Model>
Model zeros_like(const Model& model) {
  Model zeros = model;
  set_parameters_zero(zeros);
  return zeros;
}

/// Throws ShapeError or ValueError, naming the parameter, unless every one has the shape that the model's
/// configuration asks for and is finite.
template <class Model>
void require_parameters(const Model& model) {
  const auto shape = [](Index rows, Index cols) {
    return std::to_string(rows) + " x " + std::to_string(cols);
  };
  for_each_parameter(model, [&](const std::string& name, const auto& parameter, Index rows, Index cols) {
    if (parameter.rows() != rows || parameter.cols() != cols) {
      throw ShapeError(name + " is " + shape(parameter.rows(), parameter.cols()) +
                       ", the configuration asks for " + shape(rows, cols));
    }
    if (!parameter.allFinite()) throw ValueError(name + " holds NaN or infinite values");
  });
}

/// Calls body(values of first, values of second, count) for each parameter of two models of the same
/// configuration; their scalar types may differ.
template <class First, class Second, class Body>
void for_each_parameter_pair(First& first, const Second& second, Body&& body) {
  std::vector<const typename Second::Scalar*> others;
  for_each_parameter(second, [&](const std::string&, const auto& parameter, Index, Index) {
    others.push_back(parameter.data());
  });
  std::size_t next = 0;
  for_each_parameter(first, [&](const std::string&, auto& parameter, Index, Index) {
    body(parameter.data(), others[next++], parameter.size());
  });
}

/// Converts every parameter to the scalar type of another model of the same configuration.
template <class From, class To>
void copy_parameters(const From& from, To& to) {
  for_each_parameter_pair(to, from,
                          [](typename To::Scalar* target, const typename From::Scalar* source, Index size) {
                            for (Index i = 0; i < size; ++i)
                              target[i] = static_cast<typename To::Scalar>(source[i]);
                          });
}

/// Names a family's parameters to a visitor: what its for_each_parameter is written with. visit(name,
/// parameter, rows, cols), cols being 1 for a vector.
template <class Visitor>
struct ParameterNames {
  Visitor& visit;

  template <class V>
  void vector(const std::string& name, V& values, Index size) {
    visit(name, values, size, Index{1});
  }
  template <class L>
  void linear(const std::string& name, L& layer, Index out, Index in, bool bias = true) {
    visit(name + ".weight", layer.weight, out, in);
    if (bias) vector(name + ".bias", layer.bias, out);
  }
  template <class N>
  void layer_norm(const std::string& name, N& norm, Index size) {
    vector(name + ".weight", norm.weight, size);
    vector(name + ".bias", norm.bias, size);
  }
};

}  // namespace vbp::inline VBP_ABI
