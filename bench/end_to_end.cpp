/// Whole models, dense and pruned, measured in turn. Prints the latency, the percentage of the multiply-add
/// peak, the speed-up, and the ratio of the speed-up to the reduction in MACs. Options: --batch N, --runs N;
/// VBP_THREADS and VBP_ARCH work as in the other benchmarks.

#include <cstdio>
#include <cstring>
#include <memory>

#include "models.hpp"
#include "vbp/core/aligned.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/peak.hpp"
#include "vbp/models/vit/cost.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/model.hpp"

namespace {

struct Variant {
  std::string name;
  double macs = 0.0;
  std::unique_ptr<vbp::VitInference<float>> inference;
  std::vector<double> seconds;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(const bench::Deit& deit, vbp::Index batch, int runs) {
  std::vector<Variant> variants;
  const auto add = [&](const std::string& name, const std::vector<vbp::Index>& widths) {
    const auto model = bench::random_deit(deit.dim, widths);
    variants.push_back({name,
                        static_cast<double>(vbp::cost_of(model.config).macs()),
                        std::make_unique<vbp::VitInference<float>>(model, vbp::Context(bench::threads())),
                        {}});
  };
  add("dense", bench::dense_widths(deit.dim));
  for (const bench::Profile& profile : bench::kProfiles) {
    const std::string percent = std::to_string(profile.percent);
    add(percent + "% uniform", bench::uniform_widths(deit.dim, profile.percent));
    add(percent + "% ranked", bench::profile_widths(deit.dim, profile));
  }
  vbp::Matrix<float> images(batch, variants.front().inference->config().image_elements());
  const vbp::AlignedBuffer<float> pixels = bench::random_values(images.size(), 2);
  std::copy_n(pixels.data(), images.size(), images.data());
  vbp::Matrix<float> logits(batch, 1000);
  double peak = 0.0;
  for (int run = -1; run < runs; ++run) {
    for (Variant& variant : variants) {
      peak = std::max(peak, vbp::kernels::multiply_add_rate<float>(variant.inference->pool()));
      const double seconds = bench::seconds_of([&] { variant.inference->run(images, logits); });
      if (run >= 0) variant.seconds.push_back(seconds);
    }
  }
  for (const Variant& variant : variants) {
    // Each run of a pruned model is compared with the run of the dense model in the same round.
    std::vector<double> ratios;
    for (std::size_t i = 0; i < variant.seconds.size(); ++i) {
      ratios.push_back(variants.front().seconds[i] / variant.seconds[i]);
    }
    const double speedup = median(ratios);
    const double promised = variants.front().macs / variant.macs;
    const double best = *std::min_element(variant.seconds.begin(), variant.seconds.end());
    const double middle = median(variant.seconds);
    const auto images_of = static_cast<double>(batch);
    std::printf("| DeiT-%s %s | %.2f | %.2f | %.1f | %.1f %% | %.2f | %.2f | %.3f |\n", deit.name,
                variant.name.c_str(), 1e3 * best / images_of, 1e3 * middle / images_of,
                2e-9 * variant.macs * images_of / best, 200.0 * variant.macs * images_of / best / peak,
                speedup, promised, speedup / promised);
  }
}

}  // namespace

int main(int argc, char** argv) {
  vbp::Index batch = 1;
  int runs = 30;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--batch") == 0) batch = std::max(1, std::atoi(argv[i + 1]));
    if (std::strcmp(argv[i], "--runs") == 0) runs = std::max(1, std::atoi(argv[i + 1]));
  }
  vbp::kernels::select_architecture_by_environment();
  std::printf("kernels %s, %d threads, batch %d, %d runs in turn; ms an image\n\n",
              vbp::kernels::architecture().name.c_str(), bench::threads(), static_cast<int>(batch), runs);
  std::puts("| model | best ms | median ms | GFLOP/s | of peak | speed-up | by MACs | ratio |");
  std::puts("|---|---|---|---|---|---|---|---|");
  for (const bench::Deit& deit : bench::kDeit) measure(deit, batch, runs);
}
