#pragma once
/// Images that a subcommand takes from folders, and what it says of those that it left out.

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "options/common.hpp"
#include "vbp/io/image_batch.hpp"
#include "vbp/pipeline/calibrate.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/latency.hpp"

namespace tool {

/// Prints the images to stderr, one line each, and adds them to the report.
void report_failures(const std::vector<vbp::io::ImageFailure>& failures, Json& report);
void report_duplicates(const std::vector<std::string>& duplicates, Json& report);
void report_skipped(const vbp::SkippedImages& skipped, Json& report);

/// How many images were left out.
std::size_t count_of(const vbp::SkippedImages& skipped);
/// The line on stdout that says so; empty for none.
std::string left_out(std::size_t images);

/// Adds top1, top5 (from ten classes up), images and images_per_second.
void add_evaluation(const vbp::Evaluation& evaluation, Json& report);
Json json_of(const vbp::Latency& latency);
Json json_of(const vbp::MemoryUse& use);

}  // namespace tool
