#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/text/key_values.h"
#include "base/text/trim.h"
#include "base/thread_pool.h"

namespace throng {
namespace {

TEST(Half, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(value))));
    } else {
      EXPECT_EQ(FloatToHalf(value), bits);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3c00);             // tie: down to even
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-10f + 0x1p-11f), 0x3c02);  // tie: up to even
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);  // tie between 0 and the smallest subnormal
  EXPECT_EQ(FloatToHalf(std::nextafter(0x1p-25f, 1.0f)), 1);
}

// On one core, on all, and with more threads than cores.
constexpr int kPoolSizes[] = {1, 2, 3, 16};

void Sleep(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST(Memory, CountsWhatTheSystemAndTheContainerLeave) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "throng_memory_test";
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const char* text) { std::ofstream(folder / name) << text; };
  const auto available = [&] { return AvailableBytes(folder / "meminfo", folder); };
  write("meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 4000 kB\n");
  EXPECT_EQ(available(), 4000u * 1024);
  write("memory.max", "max\n");
  write("memory.current", "3000000\n");
  EXPECT_EQ(available(), 4000u * 1024);
  write("memory.max", "3500000\n");
  EXPECT_EQ(available(), 500000u);
  write("memory.stat", "anon 1000000\ninactive_file 1500000\nactive_file 200000\n");
  EXPECT_EQ(available(), 2200000u);
  std::filesystem::remove_all(folder);
}

TEST(Memory, ThePeakOfTheProcessRisesAndCanBeReset) {
  const uint64_t before = PeakResidentBytes();
  if (before == 0) GTEST_SKIP() << "the system does not say";
  constexpr size_t kBytes = size_t{64} << 20;
  // Not from an allocator, which might keep it.
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, kBytes);
  munmap(memory, kBytes);
  const uint64_t peak = PeakResidentBytes();
  EXPECT_GE(peak, before);
  EXPECT_GE(peak, kBytes);
  ResetPeakResidentBytes();
  EXPECT_LE(PeakResidentBytes(), peak - kBytes / 2);
}

TEST(ThreadPool, AllThreadsAreOnePerCoreThatMayBeUsed) {
  EXPECT_EQ(ThreadsOrAll(3), 3);
  std::thread([] {  // whose cores are its own
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &cores);
    ASSERT_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
    EXPECT_EQ(ThreadsOrAll(0), 1);
  })
      .join();
}

TEST(ThreadPool, RunsEachIterationOnce) {
  for (const int threads : kPoolSizes) {
    ThreadPool pool(threads);
    for (int round = 0; round < 2000; ++round) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(round) % 19);
      pool.ParallelFor(hits.size(), [&](size_t i, int worker) {
        EXPECT_LT(worker, threads);
        ++hits[i];
      });
      for (auto& hit : hits) EXPECT_EQ(hit, 1);
    }
  }
}

TEST(ThreadPool, NoTwoIterationsShareAWorkerAtOnce) {
  for (const int threads : kPoolSizes) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> busy(static_cast<size_t>(threads));
    for (int round = 0; round < 300; ++round) {
      pool.ParallelFor(50, [&](size_t, int worker) {
        EXPECT_EQ(++busy[static_cast<size_t>(worker)], 1);
        --busy[static_cast<size_t>(worker)];
      });
    }
  }
}

TEST(ThreadPool, WhatALoopWroteIsSeenByTheNext) {
  for (const int threads : kPoolSizes) {
    ThreadPool pool(threads);
    std::vector<int> from(8), to(8);
    for (int round = 1; round <= 1000; ++round) {
      pool.ParallelFor(to.size(), [&](size_t i, int) { to[i] = from[(i + 3) % from.size()] + 1; });
      std::swap(from, to);
    }
    EXPECT_EQ(from, std::vector<int>(8, 1000));
  }
}

TEST(ThreadPool, RethrowsAndGoesOn) {
  for (const int threads : kPoolSizes) {
    ThreadPool pool(threads);
    for (int round = 0; round < 100; ++round) {
      const auto fail = [](size_t i, int) {
        if (i == 5) throw Error(ErrorCode::kInvalid, "five");
      };
      EXPECT_THROW(pool.ParallelFor(8, fail), Error);
      std::atomic<int> hits = 0;
      pool.ParallelFor(8, [&](size_t, int) { ++hits; });
      EXPECT_EQ(hits, 8);
    }
  }
}

TEST(ThreadPool, WakesASleepingWorker) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    Sleep(2);  // longer than a worker looks for work
    std::atomic<int> others = 0;
    pool.ParallelFor(2, [&](size_t, int worker) {
      if (worker != 0) ++others;
      for (int ms = 0; worker == 0 && others == 0 && ms < 10000; ++ms) Sleep(1);
    });
    EXPECT_GE(others, 1);
  }
}

TEST(ThreadPool, DoesNotSleepBetweenLoopsThatFollowEachOther) {
  if (ThreadsOrAll(0) < 2) GTEST_SKIP() << "on one core, workers sleep at once";
  ThreadPool pool(2);
  constexpr int kLoops = 5000;
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  for (int i = 0; i < kLoops; ++i) pool.ParallelFor(2, [](size_t, int) {});
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, kLoops / 4);
}

TEST(ThreadPool, TakesNoTimeWhileIdle) {
  ThreadPool pool(2);
  pool.ParallelFor(2, [](size_t, int) {});
  Sleep(20);
  const double before = CpuSeconds();
  Sleep(200);
  EXPECT_LT(CpuSeconds() - before, 0.02);
}

TEST(Hasher, IsTheDigestOfItsBytesHoweverTheyAreGathered) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes.push_back(static_cast<char>(i * 37));
  for (const size_t length : {0u, 1u, 239u, 240u, 241u, 480u, 1000u}) {
    const std::string_view part(bytes.data(), length);
    for (const size_t piece : {1u, 7u, 240u, 1000u}) {
      Hasher hasher;
      for (int round = 0; round < 2; ++round) {
        hasher.Reset();
        for (size_t at = 0; at < length; at += piece) {
          const std::string_view next = part.substr(at, piece);
          hasher.Bytes(next.data(), next.size());
        }
        EXPECT_EQ(hasher.Finish(), DigestOf(part)) << length << " in pieces of " << piece;
      }
    }
  }
}

TEST(Hasher, StringsDoNotRunTogether) {
  EXPECT_NE(Hasher().Add("ab").Add("c").Finish(), Hasher().Add("a").Add("bc").Finish());
  EXPECT_EQ(Hasher().Add(uint32_t{1}).Add("x").Finish(), Hasher().Add(uint32_t{1}).Add("x").Finish());
}

TEST(Trimmed, TakesTheNamedCharactersFromBothEnds) {
  EXPECT_EQ(Trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(Trimmed(" \n "), "");
  EXPECT_EQ(Trimmed(""), "");
  EXPECT_EQ(Trimmed("\ta ", " "), "\ta");
}

TEST(CounterRng, KeyWordsAndTheirOrderMatter) {
  EXPECT_NE(CounterRng(1, 2).At(0), CounterRng(2, 1).At(0));
  CounterRng rng(7);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) sum += rng.NextDouble();
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(KeyValues, ReadsEveryType) {
  KeyValues values("gear",
                   "r=4&s=2%&t=0.5&n=-7&seed=18446744073709551615&on=1&name=a:b&buffer=int8&bits=2442", '&');
  EXPECT_EQ(values.Int("r", 1, 0, 8), 4);
  EXPECT_DOUBLE_EQ(values.Fraction("s", 0.0, 0.0, 1.0), 0.02);
  EXPECT_DOUBLE_EQ(values.Fraction("t", 0.0, 0.0, 1.0), 0.5);
  EXPECT_EQ(values.Int64("n", 0, -7, 7), -7);
  EXPECT_EQ(values.Uint64("seed", 0), std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(values.Flag("on", false));
  EXPECT_EQ(values.Text("name", ""), "a:b");
  EXPECT_EQ(values.Choice("buffer", {"f16", "int8"}), 1);
  EXPECT_EQ(values.Digits("bits", "24"), "2442");
  EXPECT_EQ(values.Int("other", 64, 0, 100), 64);
  EXPECT_EQ(values.Text("other", "b"), "b");
  values.CheckAllUsed();
}

TEST(KeyValues, SaysWhatIsWrong) {
  using ::testing::HasSubstr;
  const auto read = [](const char* text) -> std::string {
    try {
      KeyValues values("codec gear", text);
      values.Int("r", 1, 0, 8);
      values.Fraction("s", 0.0, 0.0, 0.1);
      values.Number("x", 0.0, 0.0, 0.5);
      values.Uint64("seed", 0);
      values.Flag("on", false);
      values.CheckAllUsed();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(read("r=9"), "codec gear: r=9 must be a whole number from 0 to 8");
  EXPECT_EQ(read("q=1"), "codec gear: unknown parameter q (allowed: r, s, x, seed, on)");
  EXPECT_EQ(read("x=nan"), "codec gear: x=nan must be a number from 0 to 0.5");
  EXPECT_THAT(read("r=4,r=5"), HasSubstr("twice"));
  EXPECT_THAT(read("r=4x"), HasSubstr("whole number"));
  EXPECT_THAT(read("r=99999999999999"), HasSubstr("whole number"));
  EXPECT_THAT(read("seed=-1"), HasSubstr("whole number"));
  EXPECT_THAT(read("on=yes"), HasSubstr("whole number from 0 to 1"));
  for (const char* text : {"s=20%", "s=nan", "s=%", "s=-1"}) EXPECT_THAT(read(text), HasSubstr("percentage"));
  for (const char* text : {"r", "=4", "r=", "s=1%,,r=1"}) EXPECT_THAT(read(text), HasSubstr("key=value"));
}

TEST(SplitName, TakesTheFirstColon) {
  EXPECT_EQ(SplitName("int8").name, "int8");
  EXPECT_EQ(SplitName("int8").values, "");
  EXPECT_EQ(SplitName("int8:").values, "");
  EXPECT_EQ(SplitName("replay:a:b").values, "a:b");
}

}  // namespace
}  // namespace throng
