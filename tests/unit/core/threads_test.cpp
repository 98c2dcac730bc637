#include "vbp/core/threads.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using vbp::Index;
using vbp::ThreadPool;

namespace {

std::string message_of(ThreadPool& pool, Index count, void (*body)(Index)) {
  try {
    pool.parallel_for(count, body);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("a pool has the threads that were asked for", "[core][threads]") {
  for (const int threads : {1, 2, 5, 16}) CHECK(ThreadPool(threads).size() == threads);
  const int hardware = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CHECK(ThreadPool().size() == hardware);
  CHECK(ThreadPool(-3).size() == hardware);
}

TEST_CASE("every index comes once", "[core][threads]") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const Index count : {0, 1, 2, 3, 7, 8, 9, 1000}) {
      INFO(count << " indices on " << threads << " threads");
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
      pool.parallel_for(count, [&](Index i) { ++seen[static_cast<std::size_t>(i)]; });
      CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& times) { return times == 1; }));
    }
    pool.parallel_for(-5, [](Index) { FAIL("there is no index below 0"); });
  }
}

TEST_CASE("a worker has a number of its own, and its calls never overlap", "[core][threads]") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> active(static_cast<std::size_t>(threads));
    std::vector<std::set<std::thread::id>> ids(static_cast<std::size_t>(threads));
    std::atomic<int> wrong = 0;
    pool.parallel_for(2'000, [&](Index, int worker) {
      if (worker < 0 || worker >= threads) {
        ++wrong;
        return;
      }
      const auto place = static_cast<std::size_t>(worker);
      if (active[place].fetch_add(1) != 0) ++wrong;
      // No other thread has this worker's number, so the set needs no lock.
      ids[place].insert(std::this_thread::get_id());
      --active[place];
    });
    CHECK(wrong == 0);
    std::set<std::thread::id> all;
    std::size_t sum = 0;
    for (const auto& set : ids) {
      CHECK(set.size() <= 1);
      sum += set.size();
      all.insert(set.begin(), set.end());
    }
    CHECK(all.size() == sum);
    if (!ids[0].empty()) CHECK(*ids[0].begin() == std::this_thread::get_id());
  }
}

TEST_CASE("all threads work at the same time", "[core][threads]") {
  ThreadPool pool(4);
  // Each of the four calls waits until the others have begun, so no thread can run two of them.
  std::atomic<int> begun = 0;
  std::vector<std::atomic<int>> calls(4);
  pool.parallel_for(4, [&](Index, int worker) {
    ++calls[static_cast<std::size_t>(worker)];
    ++begun;
    while (begun < 4) std::this_thread::yield();
  });
  CHECK(std::all_of(calls.begin(), calls.end(), [](const auto& count) { return count == 1; }));
}

TEST_CASE("a worker begins with its own share, loop after loop", "[core][threads]") {
  ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    std::vector<Index> firsts(4, -1);
    std::atomic<int> begun = 0;
    pool.parallel_for(10, [&](Index i, int worker) {
      Index& first = firsts[static_cast<std::size_t>(worker)];
      if (first >= 0) return;
      first = i;
      ++begun;
      while (begun < 4) std::this_thread::yield();
    });
    REQUIRE(firsts == std::vector<Index>{0, 2, 5, 7});
  }
}

TEST_CASE("what a worker has not begun when the others have ended, they take", "[core][threads]") {
  ThreadPool pool(2);
  // The first call ends only when all others have ended. So the other worker must take the remaining indices
  // of this worker's range.
  std::atomic<int> ended = 0;
  pool.parallel_for(10, [&](Index i) {
    while (i == 0 && ended < 9) std::this_thread::yield();
    ++ended;
  });
  CHECK(ended == 10);
}

TEST_CASE("when a loop returns, what it wrote is there", "[core][threads]") {
  ThreadPool pool(3);
  std::vector<int> values(300);
  for (int round = 0; round < 500; ++round) {
    // These are plain writes, so the pool itself must order them before the return.
    pool.parallel_for(300, [&](Index i) { values[static_cast<std::size_t>(i)] += static_cast<int>(i); });
  }
  for (int i = 0; i < 300; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == 500 * i);
}

TEST_CASE("many small loops, one after the other", "[core][threads]") {
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    std::atomic<Index> sum = 0;
    Index expected = 0;
    for (Index round = 0; round < 3'000; ++round) {
      const Index count = round % 5;
      pool.parallel_for(count, [&](Index i) { sum += i + 1; });
      expected += count * (count + 1) / 2;
    }
    CHECK(sum == expected);
  }
}

TEST_CASE("a loop that comes after a pause finds the workers asleep and wakes them", "[core][threads]") {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> begun = 0;
    pool.parallel_for(3, [&](Index) {
      ++begun;
      while (begun < 3) std::this_thread::yield();
    });
    CHECK(begun == 3);
  }
}

TEST_CASE("idle workers sleep", "[core][threads]") {
  ThreadPool pool(4);
  pool.parallel_for(100, [](Index) {});
  // This measures CPU time, not elapsed time: three workers that did not sleep would use all cores.
  const std::clock_t begin = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const double used = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  CHECK(used < 0.1);
}

TEST_CASE("the exception of the lowest index is thrown on, after all is done", "[core][threads]") {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> seen(100);
    try {
      pool.parallel_for(100, [&](Index i) {
        ++seen[static_cast<std::size_t>(i)];
        if (i % 10 == 3) throw std::runtime_error(std::to_string(i));
      });
      FAIL("nothing was thrown");
    } catch (const std::runtime_error& error) {
      REQUIRE(std::string(error.what()) == "3");
    }
    REQUIRE(std::all_of(seen.begin(), seen.end(), [](const auto& times) { return times == 1; }));
  }
  // Only the last index throws, in loops of many indices and of one.
  CHECK(message_of(pool, 50, [](Index i) {
          if (i == 49) throw std::runtime_error("last");
        }) == "last");
  CHECK(message_of(pool, 1, [](Index) { throw std::runtime_error("only"); }) == "only");
  // An earlier exception is not thrown again.
  CHECK(message_of(pool, 50, [](Index) {}) == "nothing was thrown");
}

TEST_CASE("a pool of one throws at the first exception", "[core][threads]") {
  ThreadPool pool(1);
  CHECK(message_of(pool, 5, [](Index i) { throw std::runtime_error(std::to_string(i)); }) == "0");
  std::vector<Index> order;
  pool.parallel_for(5, [&](Index i) { order.push_back(i); });
  CHECK(order == std::vector<Index>{0, 1, 2, 3, 4});
}

TEST_CASE("a pool inside another's loop", "[core][threads]") {
  ThreadPool outer(3);
  std::atomic<Index> sum = 0;
  outer.parallel_for(6, [&](Index i) {
    ThreadPool inner(2);
    inner.parallel_for(10, [&](Index j) { sum += 10 * i + j; });
  });
  CHECK(sum == 60 * 59 / 2);
}

TEST_CASE("pools come and go, used or not", "[core][threads]") {
  for (int i = 0; i < 200; ++i) {
    ThreadPool pool(1 + i % 4);
    if (i % 3 == 0) continue;
    std::atomic<int> count = 0;
    pool.parallel_for(i % 7, [&](Index) { ++count; });
    REQUIRE(count == i % 7);
  }
}

TEST_CASE("a body may be a temporary, a named one with state, or a function", "[core][threads]") {
  ThreadPool pool(2);
  struct Counter {
    std::atomic<int> calls = 0;
    void operator()(Index) { ++calls; }
  };
  Counter counter;
  pool.parallel_for(100, counter);
  CHECK(counter.calls == 100);
  static std::atomic<int> calls = 0;
  calls = 0;
  pool.parallel_for(
      100, +[](Index, int) { ++calls; });
  CHECK(calls == 100);
}
