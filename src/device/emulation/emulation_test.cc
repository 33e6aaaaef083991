// The emulation itself: kernels with and without mistakes.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "device/emulation/block.h"
#include "device/intrinsics.h"

namespace throng::device {
namespace {

constexpr int kSeeds = 20;

// Runs `kernel` in blocks of so many threads.
void Emulate(const std::function<void()>& kernel, const emulation::Conduct& conduct, int threads = 64,
             size_t shared_bytes = 4096, Index3 grid = {1, 1, 1}) {
  emulation::RunBlocks({grid, threads, shared_bytes,
                        [](const void* f) { (*static_cast<const std::function<void()>*>(f))(); }, &kernel},
                       conduct);
}

TEST(Emulation, RunsEveryThreadOfEveryBlock) {
  std::vector<int> seen(2 * 3 * 2 * 64);
  Emulate(
      [&] {
        const Index3 at = BlockIndex();
        ++seen[static_cast<size_t>(((at.z * 3 + at.y) * 2 + at.x) * BlockThreads() + ThreadIndex())];
      },
      {.seed = 1}, 64, 0, {2, 3, 2});
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

TEST(Emulation, SharedMemoryHoldsNothingUseful) {
  std::vector<uint8_t> first(64), second(64);
  const auto read = [](std::vector<uint8_t>& to) {
    return [&to] {
      to[static_cast<size_t>(ThreadIndex())] = static_cast<uint8_t*>(SharedMemory())[ThreadIndex()];
    };
  };
  Emulate(read(first), {.seed = 1});
  Emulate(read(second), {.seed = 2});
  EXPECT_NE(first, second);
}

// Each thread reads what another wrote: with the barrier always right, without it wrong in most orders.
TEST(Emulation, AMissingBarrierShows) {
  std::vector<int> got(64);
  const auto kernel = [&] {
    auto* shared = static_cast<int*>(SharedMemory());
    shared[ThreadIndex()] = ThreadIndex();
    Barrier();
    got[static_cast<size_t>(ThreadIndex())] = shared[63 - ThreadIndex()];
  };
  std::vector<int> expected(64);
  std::iota(expected.rbegin(), expected.rend(), 0);
  std::vector<emulation::Place> met;
  int wrong = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Emulate(kernel, {.seed = seed, .met = &met});
    EXPECT_EQ(got, expected);
    ASSERT_EQ(met.size(), 1u);
    Emulate(kernel, {.seed = seed, .unheeded = met[0]});
    wrong += got != expected;
  }
  EXPECT_EQ(wrong, kSeeds);
}

// Threads that overtake others: the second barrier keeps them from writing what others still read.
TEST(Emulation, ABarrierBeforeMemoryIsUsedAgainIsNeeded) {
  std::vector<int> got(64 * 4);
  const auto kernel = [&] {
    auto* shared = static_cast<int*>(SharedMemory());
    for (int round = 0; round < 4; ++round) {
      shared[ThreadIndex()] = ThreadIndex() + 100 * round;
      Barrier();
      got[static_cast<size_t>(64 * round + ThreadIndex())] = shared[63 - ThreadIndex()];
      Barrier();
    }
  };
  Emulate(kernel, {.seed = 5});
  const std::vector<int> expected = got;
  std::vector<emulation::Place> met;
  Emulate(kernel, {.seed = 6, .met = &met});
  EXPECT_EQ(got, expected);
  ASSERT_EQ(met.size(), 2u);
  for (const emulation::Place& place : met) {
    int wrong = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      Emulate(kernel, {.seed = seed, .unheeded = place});
      wrong += got != expected;
    }
    EXPECT_GE(wrong, kSeeds - 2) << place.line;
  }
}

TEST(Emulation, WarpsNeedTheirBarriersToo) {
  std::vector<int> got(32);
  const auto kernel = [&] {
    auto* shared = static_cast<int*>(SharedMemory());
    shared[Lane()] = Lane();
    WarpBarrier();
    got[static_cast<size_t>(Lane())] = shared[31 - Lane()];
  };
  std::vector<emulation::Place> met;
  Emulate(kernel, {.seed = 1, .met = &met}, 32);
  const std::vector<int> expected = got;
  EXPECT_EQ(expected[0], 31);
  ASSERT_EQ(met.size(), 1u);
  Emulate(kernel, {.seed = 1, .unheeded = met[0]}, 32);
  EXPECT_NE(got, expected);
}

// Two buffers: a chunk is copied while the one before is read.
TEST(Emulation, CopiesArriveAtTheWaitAndAreSeenAfterTheBarrier) {
  constexpr int kChunks = 5;
  constexpr int kChunkInts = 64 * 4;
  alignas(16) static int source[kChunks * kChunkInts];
  std::iota(std::begin(source), std::end(source), 7);
  std::vector<int> got(kChunks * kChunkInts);
  const auto kernel = [&] {
    auto* shared = static_cast<int*>(SharedMemory());
    const auto copy = [&](int chunk) {
      CopyAsync(shared + chunk % 2 * kChunkInts + 4 * ThreadIndex(),
                source + chunk * kChunkInts + 4 * ThreadIndex());
      CommitCopies();
    };
    copy(0);
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (chunk + 1 < kChunks) {
        copy(chunk + 1);
        WaitCopies<1>();
      } else {
        WaitCopies<0>();
      }
      Barrier();
      for (int i = 0; i < 4; ++i) {
        const int at = 4 * ((ThreadIndex() + 17) % 64) + i;
        got[static_cast<size_t>(chunk * kChunkInts + at)] = shared[chunk % 2 * kChunkInts + at];
      }
      Barrier();
    }
  };
  const std::vector<int> expected(std::begin(source), std::end(source));
  std::vector<emulation::Place> met;
  Emulate(kernel, {.seed = 3, .met = &met});
  EXPECT_EQ(got, expected);
  ASSERT_EQ(met.size(), 4u);
  for (const emulation::Place& place : met) {
    int wrong = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      Emulate(kernel, {.seed = seed, .unheeded = place});
      wrong += got != expected;
    }
    EXPECT_GE(wrong, kSeeds / 2) << place.line;
  }
}

TEST(Emulation, ShufflesReachOtherLanes) {
  std::vector<float> crossed(64);
  std::vector<int32_t> taken(64);
  Emulate(
      [&] {
        crossed[static_cast<size_t>(ThreadIndex())] = ShuffleXor(static_cast<float>(ThreadIndex()), 5);
        taken[static_cast<size_t>(ThreadIndex())] = Shuffle(ThreadIndex() * 2, (Lane() + 3) % 32);
      },
      {.seed = 9});
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(crossed[static_cast<size_t>(i)], static_cast<float>(i ^ 5));
    EXPECT_EQ(taken[static_cast<size_t>(i)], 2 * (i / 32 * 32 + (i + 3) % 32));
  }
}

// The fragments of PTX's manual, against a product in plain loops.
// As on a GPU. Kernels keep their sums within bounds, but not where a test has left out a wait.
TEST(Emulation, AtomicSumsWrap) {
  int32_t sum = INT32_MAX - 20;
  Emulate([&] { AtomicAdd(&sum, 1); }, {.seed = 1}, 64, 0);
  EXPECT_EQ(sum, INT32_MIN + 43);
}

TEST(Emulation, ProductsOfMatricesFollowTheFragmentsOfPtx) {
  int8_t a[16][32];
  uint8_t b[32][8];
  for (int i = 0; i < 512; ++i) a[i / 32][i % 32] = static_cast<int8_t>(i * 37);
  for (int i = 0; i < 256; ++i) b[i / 8][i % 8] = static_cast<uint8_t>(i * 53);
  std::vector<int> d(16 * 8);
  Emulate(
      [&] {
        const int g = Lane() / 4;
        const int i = Lane() % 4;
        const auto word = [](const auto& at) {
          uint32_t w = 0;
          for (int e = 0; e < 4; ++e) w |= static_cast<uint32_t>(static_cast<uint8_t>(at(e))) << 8 * e;
          return w;
        };
        const uint32_t fa[4] = {word([&](int e) { return a[g][4 * i + e]; }),
                                word([&](int e) { return a[g + 8][4 * i + e]; }),
                                word([&](int e) { return a[g][16 + 4 * i + e]; }),
                                word([&](int e) { return a[g + 8][16 + 4 * i + e]; })};
        const uint32_t fb[2] = {word([&](int e) { return b[4 * i + e][g]; }),
                                word([&](int e) { return b[16 + 4 * i + e][g]; })};
        int32_t sums[4] = {1, 1, 1, 1};
        MmaS8U8(sums, fa, fb);
        for (int j = 0; j < 4; ++j) d[static_cast<size_t>((g + j / 2 * 8) * 8 + 2 * i + j % 2)] = sums[j];
      },
      {.seed = 4}, 32);
  for (int r = 0; r < 16; ++r) {
    for (int c = 0; c < 8; ++c) {
      int sum = 1;
      for (int k = 0; k < 32; ++k) sum += a[r][k] * b[k][c];
      EXPECT_EQ(d[static_cast<size_t>(r * 8 + c)], sum);
    }
  }
}

TEST(Emulation, ProductsOfHalvesTakeTheirFragmentsFromLoadMatrices) {
  // A in shared memory as [16, 16], so that ldmatrix makes its four registers; B is the identity's first 8
  // columns.
  std::vector<float> d(16 * 8);
  Emulate(
      [&] {
        auto* shared = static_cast<uint16_t*>(SharedMemory());
        for (int e = Lane(); e < 256; e += 32) shared[e] = FloatToHalfBits(static_cast<float>(e));
        WarpBarrier();
        uint32_t fa[4];
        // Matrices in the order of the registers: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15.
        LoadMatrices(fa, shared + (Lane() % 16) * 16 + Lane() / 16 * 8);
        const int g = Lane() / 4;
        const int i = Lane() % 4;
        const auto one = [&](int row) {
          return static_cast<uint32_t>(FloatToHalfBits(row == g ? 1.0f : 0.0f));
        };
        const uint32_t fb[2] = {one(2 * i) | one(2 * i + 1) << 16, one(2 * i + 8) | one(2 * i + 9) << 16};
        float sums[4] = {};
        MmaF16(sums, fa, fb);
        for (int j = 0; j < 4; ++j) d[static_cast<size_t>((g + j / 2 * 8) * 8 + 2 * i + j % 2)] = sums[j];
      },
      {.seed = 4}, 32);
  for (int r = 0; r < 16; ++r) {
    for (int c = 0; c < 8; ++c) EXPECT_EQ(d[static_cast<size_t>(r * 8 + c)], static_cast<float>(r * 16 + c));
  }
}

void HalfAWarpWaits() {
  if (Lane() < 16) WarpBarrier();
}

void OneWarpWaits() {
  if (Warp() == 0) Barrier();
}

void AWarpWaitsAtTwoPlaces() {
  if (Lane() == 0) {
    WarpBarrier();
  } else {
    ShuffleXor(1.0f, 1);
  }
}

TEST(EmulationDeathTest, ThreadsThatPartAreNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Emulate(HalfAWarpWaits, {.seed = 1}), "a warp is not complete: thread .*emulation_test.cc");
  EXPECT_DEATH(Emulate(OneWarpWaits, {.seed = 1}), "some threads have ended before a barrier");
  EXPECT_DEATH(Emulate(AWarpWaitsAtTwoPlaces, {.seed = 1}), "a warp's threads are at different places");
}

}  // namespace
}  // namespace throng::device
