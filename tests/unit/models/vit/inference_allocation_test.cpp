#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <vector>

#include "support/catch.hpp"
#include "support/plain_vit.hpp"
#include "vbp/models/vit/forward.hpp"

// Every allocation of this program is counted: Eigen's through malloc, the language's through malloc or
// aligned_alloc, both of which are replaced here. Sanitizers replace them themselves.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VBP_TEST_NO_COUNT
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
#define VBP_TEST_NO_COUNT
#endif

#ifndef VBP_TEST_NO_COUNT

namespace {

std::atomic<long> allocations = 0;

/// How often memory is asked for during the call.
template <class Call>
long allocations_of(Call&& call) {
  const long before = allocations;
  call();
  return allocations - before;
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
}

TEST_CASE("a forward pass allocates nothing once a batch of its size was seen", "[vit][inference]") {
  // The counter sees what could be allocated.
  CHECK(allocations_of([] { vbp::Matrix<float> matrix(10, 10); }) == 1);
  // Where nobody looks at the memory compilers leave out that it is asked for.
  const void* volatile kept = nullptr;
  CHECK(allocations_of([&] {
          vbp::AlignedBuffer<float> buffer(10);
          kept = buffer.data();
        }) == 1);
  CHECK(allocations_of([&] {
          std::vector<int> vector(10);
          kept = vector.data();
        }) == 1);

  for (const vbp::Pooling pooling :
       {vbp::Pooling::class_token, vbp::Pooling::average, vbp::Pooling::class_token_and_average}) {
    const vbp::VitConfig config{.architecture = "",
                                .image_size = 12,
                                .patch_size = 4,
                                .dim = 24,
                                .heads = 2,
                                .hidden_widths = {40, 33},
                                .classes = 5,
                                .distillation_token = pooling == vbp::Pooling::class_token,
                                .layer_scale = true,
                                .fc_norm = true,
                                .pooling = pooling};
    const auto model = vbp_test::random_vit<float>(config, 1);
    const auto images = vbp_test::random_images<float>(config, 4, 2);
    const vbp::Matrix<float> one_image = images.topRows(1);
    vbp::Matrix<float> logits(4, 5);
    for (const int threads : {1, 3}) {
      vbp::VitInference<float> inference(model, vbp::Context(threads));
      CHECK(allocations_of([&] { inference.run(images, logits); }) > 0);
      CHECK(allocations_of([&] { inference.run(images, logits); }) == 0);
      CHECK(allocations_of([&] { inference.run(one_image, logits.topRows(1)); }) == 0);
      vbp::Index seen = 0;
      const auto observer = [&](vbp::Index, const vbp::MatrixView<float>& hidden) { seen += hidden.size(); };
      CHECK(allocations_of([&] { inference.run(images, logits, observer); }) == 0);
      CHECK(seen > 0);
    }
  }
}

#else

TEST_CASE("a forward pass allocates nothing once a batch of its size was seen", "[vit][inference]") {
  WARN("skipped: allocations cannot be counted in this build");
}

#endif
