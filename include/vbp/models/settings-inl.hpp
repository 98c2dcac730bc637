#pragma once
/// Bodies of settings.hpp.

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/models/settings.hpp"

namespace vbp::inline VBP_ABI::checkpoint_detail {

VBP_FUNCTION std::string quote(const std::string& text) {
  constexpr std::size_t kLongest = 60;
  const bool shorten = text.size() > kLongest;
  const nlohmann::json json = shorten ? text.substr(0, kLongest) + "..." : text;
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

VBP_FUNCTION std::string text_of(double value) {
  return nlohmann::json(value).dump();
}
VBP_FUNCTION std::string text_of(const std::vector<Index>& values) {
  return nlohmann::json(values).dump();
}
VBP_FUNCTION std::string text_of(const std::vector<double>& values) {
  return nlohmann::json(values).dump();
}
VBP_FUNCTION std::string text_of(const std::vector<std::string>& values) {
  return nlohmann::json(values).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

VBP_FUNCTION std::string activation_name(const std::string& name) {
  // The last three compute the tanh approximation and differ in how they spell it.
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return "gelu_tanh";
  return name == "gelu_python" ? "gelu" : name;
}

VBP_FUNCTION void Setting::refuse(const std::string& reason) const {
  if (origin == "option") throw ValueError("option " + key + ": " + reason);
  throw FileError(path, key + (origin == "metadata" ? " in the metadata: " : ": ") + reason);
}

VBP_FUNCTION nlohmann::json json_of(const Setting& setting) {
  nlohmann::json parsed = nlohmann::json::parse(setting.value, nullptr, false);
  if (parsed.is_discarded()) setting.refuse(quote(setting.value) + " is no valid value");
  return parsed;
}

VBP_FUNCTION nlohmann::json json_list_of(const Setting& setting) {
  nlohmann::json parsed = nlohmann::json::parse(setting.value, nullptr, false);
  if (!parsed.is_array()) parsed = nlohmann::json::parse("[" + setting.value + "]", nullptr, false);
  if (!parsed.is_array() || parsed.empty()) setting.refuse(quote(setting.value) + " is no list");
  return parsed;
}

VBP_FUNCTION Index whole_number_of(const Setting& setting, const nlohmann::json& number) {
  // Beyond any size of a network, and small enough that products of two do not overflow.
  constexpr Index kLargest = 1 << 30;
  if (!number.is_number_integer() || number < 0 || number > kLargest) {
    setting.refuse(quote(setting.value) + " is not a whole number");
  }
  return number.get<Index>();
}

VBP_FUNCTION Index Setting::whole_number() const {
  return whole_number_of(*this, json_of(*this));
}

VBP_FUNCTION double Setting::number() const {
  const nlohmann::json parsed = json_of(*this);
  if (!parsed.is_number()) refuse(quote(value) + " is not a number");
  return parsed.get<double>();
}

VBP_FUNCTION bool Setting::boolean() const {
  const nlohmann::json parsed = json_of(*this);
  if (!parsed.is_boolean()) refuse(quote(value) + " is neither true nor false");
  return parsed.get<bool>();
}

VBP_FUNCTION Activation Setting::activation() const {
  const std::string name = activation_name(value);
  if (name != "gelu" && name != "gelu_tanh") {
    refuse(quote(value) + " is not supported, only gelu and gelu_tanh are");
  }
  return name == "gelu" ? Activation::gelu : Activation::gelu_tanh;
}

VBP_FUNCTION std::vector<Index> Setting::whole_numbers() const {
  std::vector<Index> result;
  for (const auto& entry : json_list_of(*this)) result.push_back(whole_number_of(*this, entry));
  return result;
}

VBP_FUNCTION std::vector<double> Setting::numbers() const {
  std::vector<double> result;
  for (const auto& entry : json_list_of(*this)) {
    if (!entry.is_number()) refuse(quote(value) + " is no list of numbers");
    result.push_back(entry.get<double>());
  }
  return result;
}

VBP_FUNCTION std::vector<std::string> Setting::strings() const {
  std::vector<std::string> result;
  for (const auto& entry : json_list_of(*this)) {
    if (!entry.is_string()) refuse(quote(value) + " is no list of strings");
    result.push_back(entry.get<std::string>());
  }
  return result;
}

VBP_FUNCTION void Settings::add_source(std::string origin, std::string path, SettingTexts texts) {
  sources_.push_back({std::move(origin), std::move(path), std::move(texts)});
}

VBP_FUNCTION std::optional<Setting> Settings::find(const std::string& key) const {
  return find_where(key, [](const std::string&) { return true; });
}

VBP_FUNCTION void require_average_pooling(const std::optional<Setting>& setting) {
  if (setting && setting->value != "avg") {
    setting->refuse(quote(setting->value) + " is not supported, only avg is");
  }
}

VBP_FUNCTION std::vector<Index> widths_of(const Setting& setting, std::size_t blocks) {
  std::vector<Index> widths = setting.whole_numbers();
  if (widths.size() == 1) widths.resize(blocks, widths[0]);
  return widths;
}

}  // namespace vbp::inline VBP_ABI::checkpoint_detail
