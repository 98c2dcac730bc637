#include "report/images.hpp"

#include <iostream>

#include "report/text.hpp"

namespace tool {

void report_failures(const std::vector<vbp::io::ImageFailure>& failures, Json& report) {
  report["failures"] = Json::array();
  for (const auto& [path, reason] : failures) {
    std::cerr << "vbp: left out: " << printable(path.string() + ": " + reason) << '\n';
    report["failures"].push_back({{"file", path.string()}, {"reason", reason}});
  }
}

void report_duplicates(const std::vector<std::string>& duplicates, Json& report) {
  report["duplicates"] = Json::array();
  for (const std::string& path : duplicates) {
    std::cerr << "vbp: left out: " << printable(path) << ": has the content of an image seen before\n";
    report["duplicates"].push_back(path);
  }
}

void report_skipped(const vbp::SkippedImages& skipped, Json& report) {
  report_failures(skipped.failures, report);
  report_duplicates(skipped.duplicates, report);
}

std::size_t count_of(const vbp::SkippedImages& skipped) {
  return skipped.failures.size() + skipped.duplicates.size();
}

std::string left_out(std::size_t images) {
  return images == 0 ? "" : "images left out: " + std::to_string(images) + "\n";
}

void add_evaluation(const vbp::Evaluation& evaluation, Json& report) {
  report["top1"] = evaluation.top1();
  if (evaluation.classes >= 10) report["top5"] = evaluation.top5();
  report["images"] = evaluation.images;
  report["images_per_second"] = evaluation.images_per_second();
}

Json json_of(const vbp::Latency& latency) {
  return {{"min", latency.minimum}, {"median", latency.median}};
}

Json json_of(const vbp::MemoryUse& use) {
  return {{"limit", use.limit}, {"passes", use.passes}, {"bytes_in_files", use.bytes_in_files}};
}

}  // namespace tool
