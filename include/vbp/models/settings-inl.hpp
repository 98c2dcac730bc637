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

// Json is nlohmann::json everywhere below. As a template parameter, it keeps the library's many overloads
// from being compiled where the header is read but no function called.

template <class Json, class Value>
std::string json_text(const Value& value) {
  return Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class Json>
std::string json_quote(const std::string& text) {
  constexpr std::size_t kLongest = 60;
  const bool shorten = text.size() > kLongest;
  const Json json = shorten ? text.substr(0, kLongest) + "..." : text;
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

VBP_FUNCTION std::string quote(const std::string& text) {
  return json_quote<nlohmann::json>(text);
}

VBP_FUNCTION std::string text_of(double value) {
  return json_text<nlohmann::json>(value);
}
VBP_FUNCTION std::string text_of(const std::vector<Index>& values) {
  return json_text<nlohmann::json>(values);
}
VBP_FUNCTION std::string text_of(const std::vector<double>& values) {
  return json_text<nlohmann::json>(values);
}
VBP_FUNCTION std::string text_of(const std::vector<std::string>& values) {
  return json_text<nlohmann::json>(values);
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

template <class Json>
Json json_of(const Setting& setting) {
  Json parsed = Json::parse(setting.value, nullptr, false);
  if (parsed.is_discarded()) setting.refuse(quote(setting.value) + " is no valid value");
  return parsed;
}

template <class Json>
Json json_list_of(const Setting& setting) {
  Json parsed = Json::parse(setting.value, nullptr, false);
  if (!parsed.is_array()) parsed = Json::parse("[" + setting.value + "]", nullptr, false);
  if (!parsed.is_array() || parsed.empty()) setting.refuse(quote(setting.value) + " is no list");
  return parsed;
}

template <class Json>
Index whole_number_of(const Setting& setting, const Json& number) {
  // Beyond any size of a network, and small enough that products of two do not overflow.
  constexpr Index kLargest = 1 << 30;
  if (!number.is_number_integer() || number < 0 || number > kLargest) {
    setting.refuse(quote(setting.value) + " is not a whole number");
  }
  return number.template get<Index>();
}

template <class Json>
double number_of(const Setting& setting) {
  const Json parsed = json_of<Json>(setting);
  if (!parsed.is_number()) setting.refuse(quote(setting.value) + " is not a number");
  return parsed.template get<double>();
}

template <class Json>
bool boolean_of(const Setting& setting) {
  const Json parsed = json_of<Json>(setting);
  if (!parsed.is_boolean()) setting.refuse(quote(setting.value) + " is neither true nor false");
  return parsed.template get<bool>();
}

template <class Json>
std::vector<Index> whole_numbers_of(const Setting& setting) {
  std::vector<Index> result;
  for (const Json& entry : json_list_of<Json>(setting)) result.push_back(whole_number_of(setting, entry));
  return result;
}

template <class Json>
std::vector<double> numbers_of(const Setting& setting) {
  std::vector<double> result;
  for (const Json& entry : json_list_of<Json>(setting)) {
    if (!entry.is_number()) setting.refuse(quote(setting.value) + " is no list of numbers");
    result.push_back(entry.template get<double>());
  }
  return result;
}

template <class Json>
std::vector<std::string> strings_of(const Setting& setting) {
  std::vector<std::string> result;
  for (const Json& entry : json_list_of<Json>(setting)) {
    if (!entry.is_string()) setting.refuse(quote(setting.value) + " is no list of strings");
    result.push_back(entry.template get<std::string>());
  }
  return result;
}

VBP_FUNCTION Index Setting::whole_number() const {
  return whole_number_of(*this, json_of<nlohmann::json>(*this));
}

VBP_FUNCTION double Setting::number() const {
  return number_of<nlohmann::json>(*this);
}

VBP_FUNCTION bool Setting::boolean() const {
  return boolean_of<nlohmann::json>(*this);
}

VBP_FUNCTION std::vector<Index> Setting::whole_numbers() const {
  return whole_numbers_of<nlohmann::json>(*this);
}

VBP_FUNCTION std::vector<double> Setting::numbers() const {
  return numbers_of<nlohmann::json>(*this);
}

VBP_FUNCTION std::vector<std::string> Setting::strings() const {
  return strings_of<nlohmann::json>(*this);
}

VBP_FUNCTION Activation Setting::activation() const {
  const std::string name = activation_name(value);
  if (name != "gelu" && name != "gelu_tanh") {
    refuse(quote(value) + " is not supported, only gelu and gelu_tanh are");
  }
  return name == "gelu" ? Activation::gelu : Activation::gelu_tanh;
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
