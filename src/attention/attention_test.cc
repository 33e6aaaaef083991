#include "attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attention/reference.h"
#include "attention/testing/codec_errors.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "hwy/targets.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"

namespace throng::attention {
namespace {

using kv::Normal;
using kv::RelativeError;
using kv::SameBits;

struct Shape {
  std::string keys;
  std::string values;
  int group = 1;
  int head_dim = 64;  // of keys
  int length = 1;
  int window = 0;
  SoftmaxKind softmax = SoftmaxKind::kExact;
  float bias = 0.0f;              // length of what keys lack in some pairs; 0: nothing
  std::vector<float> sinks = {};  // learned sinks, [kHeads, group]; empty: none
  float score_cap = 0.0f;
  int chunk = 0;
  int value_dim = 0;  // 0: as keys
  bool values_in_keys = false;

  size_t ValueDim() const { return static_cast<size_t>(value_dim == 0 ? head_dim : value_dim); }
};

std::string Describe(const Shape& s) {
  return s.keys + "/" + s.values + " group " + std::to_string(s.group) + " d " + std::to_string(s.head_dim) +
         " length " + std::to_string(s.length) + " window " + std::to_string(s.window) + " " +
         SoftmaxName(s.softmax) + " bias " + std::to_string(s.bias) + (s.sinks.empty() ? "" : " sinks") +
         (s.values_in_keys ? " latent " : " values ") + std::to_string(s.ValueDim()) + " cap " +
         std::to_string(s.score_cap) + " chunk " + std::to_string(s.chunk);
}

constexpr int kHeads = 2;

// What the keys of both heads lack; null: nothing. The first head has a fast and a slow pair, the second one
// more.
std::shared_ptr<const KeyBias> BiasOf(const Shape& shape) {
  Rotation rotation;
  const size_t pairs = static_cast<size_t>(shape.head_dim) / 2;
  for (size_t i = 0; i < pairs; ++i) {
    rotation.frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs)));
  }
  std::vector<float> bias(2 * kHeads * pairs);
  bias[1] = bias[rotation.Second(pairs - 1)] = shape.bias;
  for (const size_t pair : {0, 1, 2}) bias[2 * pairs + rotation.First(pair)] = -shape.bias;
  const BiasOfLayer layer{bias, std::vector<double>(kHeads, 0.0), &rotation};
  return MakeKeyBias({&layer, 1}, 100);
}

// Keys, values and queries of a whole sequence, one layer. All rows are [token, head, their size].
struct Sequence {
  explicit Sequence(const Shape& shape)
      : keys(Normal(static_cast<size_t>(shape.length) * kHeads * shape.head_dim, 1)),
        values(Normal(static_cast<size_t>(shape.length) * kHeads * shape.ValueDim(), 2)),
        queries(Normal(static_cast<size_t>(shape.length) * kHeads * shape.group * shape.head_dim, 3, 1.5f)),
        bias(BiasOf(shape)) {}
  std::vector<float> keys, values, queries;
  std::shared_ptr<const KeyBias> bias;
};

enum class Way { kAttend, kAttendAll, kTokenByToken, kReference };

size_t OutStride(const Shape& shape) { return kHeads * shape.group * shape.ValueDim(); }

// Appends tokens [first, first + count) and returns the jobs of both heads. out: of all tokens.
std::vector<AttentionJob> BeginChunk(const Shape& shape, const Sequence& sequence, kv::SequenceCache& cache,
                                     int count, float* out) {
  const size_t d = shape.head_dim, value_dim = shape.ValueDim();
  const int first = cache.NumTokens();
  EXPECT_TRUE(cache.Reserve(count));
  cache.BeginChunk(count);
  std::vector<AttentionJob> jobs;
  for (int head = 0; head < kHeads; ++head) {
    const size_t kv_row = static_cast<size_t>(first * kHeads + head);
    cache.Append(0, head, {sequence.keys.data() + kv_row * d, kHeads * d},
                 {sequence.values.data() + kv_row * value_dim, kHeads * value_dim});
    const size_t row = kv_row * shape.group;
    jobs.push_back({.cache = &cache,
                    .layer = 0,
                    .kv_head = head,
                    .group = shape.group,
                    .first_token = 0,
                    .num_tokens = count,
                    .queries = sequence.queries.data() + row * d,
                    .query_stride = kHeads * shape.group * d,
                    .out = out + row * value_dim,
                    .out_stride = OutStride(shape),
                    .scale = 1.0f / std::sqrt(static_cast<float>(d)),
                    .window = shape.window,
                    .chunk = shape.chunk,
                    .score_cap = shape.score_cap,
                    .softmax = shape.softmax,
                    .key_bias = sequence.bias == nullptr ? nullptr : &(*sequence.bias)[0].heads[head],
                    .sinks = shape.sinks.empty() ? nullptr : shape.sinks.data() + head * shape.group});
  }
  return jobs;
}

void EndChunk(kv::SequenceCache& cache) {
  for (int head = 0; head < kHeads; ++head) cache.FinishLayer(0, head);
  cache.EndChunk();
}

kv::BlockLayout LayoutOf(const Shape& shape) {
  const kv::CodecFlags flags{.k = shape.keys, .v = shape.values_in_keys ? "" : shape.values};
  const kv::LayerShape layer{kHeads, shape.head_dim, static_cast<int>(shape.ValueDim()),
                             shape.values_in_keys};
  return kv::MakeLayout(flags, {&layer, 1});
}

// Outputs of all tokens, with the sequence cut into chunks.
std::vector<float> RunChunks(const Shape& shape, const Sequence& sequence, int chunk, Way way,
                             int num_threads = 1) {
  kv::BlockPool pool(LayoutOf(shape), size_t{1} << 30);
  kv::SequenceCache cache(pool);
  ThreadPool threads(num_threads);
  std::vector<AttentionScratch> scratch(1);
  std::vector<float> out(static_cast<size_t>(shape.length) * OutStride(shape), NAN);
  for (int first = 0; first < shape.length; first += chunk) {
    const int count = std::min(chunk, shape.length - first);
    std::vector<AttentionJob> jobs = BeginChunk(shape, sequence, cache, count, out.data());
    if (way == Way::kAttendAll) AttendAll(jobs, threads, scratch);
    for (AttentionJob& job : jobs) {
      if (way == Way::kAttend) Attend(job, scratch[0]);
      if (way == Way::kReference) AttendReference(job);
      if (way != Way::kTokenByToken) continue;
      job.num_tokens = 1;
      for (; job.first_token < count; ++job.first_token) {
        Attend(job, scratch[0]);
        job.queries += job.query_stride;
        job.out += job.out_stride;
      }
    }
    EndChunk(cache);
  }
  return out;
}

// Where keys and values have different codecs, each adds its error.
double Tolerance(const Shape& shape) {
  const double keys = CodecErrorOf(shape.keys).high;
  const double values = CodecErrorOf(shape.values_in_keys ? "f32" : shape.values).high;
  return shape.keys == shape.values ? keys : std::hypot(keys, values);
}

std::vector<std::string> AllCodecs() {
  std::vector<std::string> names = {"flashq4:buffer=int8",           "flashq2:buffer=int8",
                                    "flashq-mixed:bits=24",          "gear2:r=16,s=10%,g=16,kcvt=1",
                                    "gear2:sink=64,recent=64",       "rot3:sink=64",
                                    "flashq2:buffer=int8,recent=128"};
  for (const kv::CodecEntry& entry : kv::CodecTable()) names.emplace_back(entry.name);
  return names;
}

// `count` shapes with each codec's keys.
std::vector<Shape> RandomShapes(int count, uint64_t seed) {
  CounterRng rng(seed);
  const auto pick = [&rng](auto... values) {
    const auto options = {values...};
    return *(options.begin() + rng.NextBelow(options.size()));
  };
  const std::vector<std::string> codecs = AllCodecs();
  std::vector<Shape> shapes;
  for (const std::string& keys : codecs) {
    for (int i = 0; i < count; ++i) {
      Shape shape;
      shape.keys = keys;
      shape.values = rng.NextBelow(2) == 0 ? keys : codecs[rng.NextBelow(codecs.size())];
      if (kv::SplitWindow(shape.values).window != kv::SplitWindow(keys).window) shape.values = keys;
      shape.group = pick(1, 2, 4, 7);
      shape.head_dim = pick(8, 32, 64, 80, 128);
      shape.length = pick(1, 2, 63, 64, 65, 127, 128, 129, 200);
      shape.window = rng.NextBelow(3) == 0 ? pick(1, 5, 64, 100) : 0;
      shape.softmax = rng.NextBelow(2) == 0 ? SoftmaxKind::kSas : SoftmaxKind::kExact;
      shape.bias = rng.NextBelow(2) == 0 ? pick(1.0f, 30.0f) : 0.0f;
      if (rng.NextBelow(4) == 0) shape.chunk = pick(5, 64, 100);
      if (rng.NextBelow(3) == 0) shape.score_cap = pick(2.0f, 30.0f);
      if (rng.NextBelow(2) == 0) shape.value_dim = pick(8, 24, 64, 96);
      shape.values_in_keys = rng.NextBelow(2) == 0 && static_cast<int>(shape.ValueDim()) <= shape.head_dim;
      if (rng.NextBelow(3) == 0) shape.sinks = Normal(static_cast<size_t>(kHeads * shape.group), i, 3.0f);
      shapes.push_back(shape);
    }
  }
  return shapes;
}

TEST(AttentionTest, AgreesWithTheReference) {
  for (const Shape& shape : RandomShapes(4, 1)) {
    const Sequence sequence(shape);
    const std::vector<float> expected = RunChunks(shape, sequence, 200, Way::kReference);
    EXPECT_LE(RelativeError(RunChunks(shape, sequence, 200, Way::kAttend), expected), Tolerance(shape))
        << Describe(shape);
  }
}

TEST(AttentionTest, OutputsDoNotDependOnChunkingRowsOrThreads) {
  for (const Shape& shape : RandomShapes(2, 2)) {
    const Sequence sequence(shape);
    const std::vector<float> expected = RunChunks(shape, sequence, 200, Way::kAttend);
    for (const int chunk : {1, 7, 64, 130}) {
      EXPECT_TRUE(SameBits(RunChunks(shape, sequence, chunk, Way::kAttend), expected))
          << Describe(shape) << " " << chunk;
    }
    EXPECT_TRUE(SameBits(RunChunks(shape, sequence, 200, Way::kTokenByToken), expected)) << Describe(shape);
    for (const int threads : {1, 3}) {
      EXPECT_TRUE(SameBits(RunChunks(shape, sequence, 150, Way::kAttendAll, threads), expected))
          << Describe(shape);
    }
  }
}

// Checks both ends of the measured errors, for tokens that see more sealed pages than open ones: a kernel
// that rounds too little is as wrong as one that rounds too much.
TEST(AttentionTest, ErrorsOfEveryTargetAreThoseOfTheCodec) {
  for (const std::string& codec : AllCodecs()) {
    for (const SoftmaxKind softmax : {SoftmaxKind::kExact, SoftmaxKind::kSas}) {
      const Shape shape{codec, codec, 4, 80, 200, 0, softmax};
      const Sequence sequence(shape);
      const auto last_tokens = [&](Way way) {
        const std::vector<float> out = RunChunks(shape, sequence, 200, way);
        return std::vector<float>(out.end() - 8 * kHeads * shape.group * shape.head_dim, out.end());
      };
      const std::vector<float> expected = last_tokens(Way::kReference);
      for (const auto target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        SCOPED_TRACE(Describe(shape) + " " + hwy::TargetName(target));
        const double error = RelativeError(last_tokens(Way::kAttend), expected);
        // Some pages are in int8.
        const bool mixed = kv::SplitWindow(codec).window != kv::FineWindow{};
        EXPECT_GE(error, std::min(CodecErrorOf(codec).low, mixed ? CodecErrorOf("int8").low : 1.0));
        EXPECT_LE(error, CodecErrorOf(codec).high);
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
}

// The heads of known models, wide ones too; the last tokens see a sealed page and an open one. More
// elements of queries and keys share a scale than in the heads that the errors were measured with.
TEST(AttentionTest, WideHeadsAndLatentPagesAgreeWithTheReferenceOnEveryTarget) {
  for (const std::string& codec : AllCodecs()) {
    for (Shape shape : {Shape{.group = 8, .head_dim = 192, .value_dim = 128},
                        {.group = 4, .head_dim = 256, .value_dim = 512},
                        {.group = 16, .head_dim = 576, .value_dim = 512, .values_in_keys = true}}) {
      shape.keys = shape.values = codec;
      shape.length = 67;
      const Sequence sequence(shape);
      kv::BlockPool pool(LayoutOf(shape), size_t{1} << 30);
      kv::SequenceCache cache(pool);
      std::vector<float> out(67 * OutStride(shape)), expected = out;
      BeginChunk(shape, sequence, cache, 65, out.data());
      EndChunk(cache);
      std::vector<AttentionJob> jobs = BeginChunk(shape, sequence, cache, 2, expected.data());
      for (const AttentionJob& job : jobs) AttendReference(job);
      AttentionScratch scratch;
      for (AttentionJob& job : jobs) job.out = out.data() + (job.out - expected.data());
      for (const auto target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        for (const AttentionJob& job : jobs) Attend(job, scratch);
        EXPECT_LE(RelativeError(out, expected), 1.25 * Tolerance(shape))
            << Describe(shape) << " " << hwy::TargetName(target);
      }
      hwy::SetSupportedTargetsForTest(0);
      EndChunk(cache);
    }
  }
}

TEST(AttentionTest, AGroupMayBeLargerThanATileOrShared) {
  for (const char* codec : {"f16", "f32", "int8", "flashq4:buffer=int8"}) {
    const Shape shape{.keys = codec,
                      .values = codec,
                      .group = 128,
                      .head_dim = 72,
                      .length = 70,
                      .value_dim = 64,
                      .values_in_keys = true};
    const Sequence sequence(shape);
    const std::vector<float> out = RunChunks(shape, sequence, 70, Way::kAttend);
    EXPECT_LE(RelativeError(out, RunChunks(shape, sequence, 70, Way::kReference)), Tolerance(shape)) << codec;
    EXPECT_TRUE(SameBits(RunChunks(shape, sequence, 7, Way::kAttendAll, 3), out)) << codec;
    EXPECT_TRUE(SameBits(RunChunks(shape, sequence, 70, Way::kTokenByToken), out)) << codec;

    kv::BlockPool pool(LayoutOf(shape), size_t{1} << 30);
    kv::SequenceCache cache(pool);
    std::vector<float> parts(out.size());
    AttentionScratch scratch;
    for (AttentionJob job : BeginChunk(shape, sequence, cache, 70, parts.data())) {
      job.group = 32;
      for (int i = 0; i < 4; ++i, job.queries += 32 * 72, job.out += 32 * 64) Attend(job, scratch);
    }
    EXPECT_TRUE(SameBits(parts, out)) << codec;
    EndChunk(cache);
  }
}

TEST(AttentionTest, ExtremeScoresGiveTheBestToken) {
  // One key matches the query so well that all others vanish.
  Shape shape{"f16", "f16", 1, 64, 130};
  Sequence sequence(shape);
  for (float& q : sequence.queries) q *= 1000.0f;
  const std::vector<float> expected = RunChunks(shape, sequence, 130, Way::kReference);
  EXPECT_LE(RelativeError(RunChunks(shape, sequence, 130, Way::kAttend), expected), 1e-2);
}

TEST(AttentionTest, PagesAreSeenInTheFormOfTheirDistance) {
  // Without a window of the fine form, and with one that covers all pages or the first ones: each row is as
  // far from f16 as the codec of the pages that it sees.
  const Shape f16{"f16", "f16", 1, 64, 330};
  const Sequence sequence(f16);
  const std::vector<float> exact = RunChunks(f16, sequence, 330, Way::kReference);
  const auto error_in = [&](const std::string& codec, int block) {
    const Shape shape{codec, codec, 1, 64, 330};
    const std::vector<float> out = RunChunks(shape, sequence, 330, Way::kReference);
    const auto rows = [&](const std::vector<float>& all) {
      const auto begin = all.begin() + static_cast<ptrdiff_t>(block) * 64 * kHeads * 64;
      return std::vector<float>(begin, begin + 10 * kHeads * 64);
    };
    return RelativeError(rows(out), rows(exact));
  };
  EXPECT_GT(error_in("kivi2", 1), 0.1);
  EXPECT_LT(error_in("kivi2:recent=64", 1), 0.02);
  EXPECT_LT(error_in("kivi2:sink=64", 1), 0.02);
  EXPECT_GT(error_in("kivi2:recent=64", 2), 0.1);
  EXPECT_LT(error_in("kivi2:sink=64,recent=64", 2), 0.02);
  EXPECT_GT(error_in("kivi2:sink=64,recent=64", 3), 0.1);
  EXPECT_LT(error_in("kivi2:sink=128,recent=192", 5), 0.02);
}

TEST(AttentionTest, ALearnedSinkTakesItsShareOfTheSoftmax) {
  Shape shape{"f32", "f32", 2, 32, 1};
  const Sequence sequence(shape);
  const std::vector<float> without = RunChunks(shape, sequence, 1, Way::kAttend);
  shape.sinks = {-1e30f, 2.0f, 50.0f, -3.0f};
  const std::vector<float> out = RunChunks(shape, sequence, 1, Way::kAttend);
  for (size_t row = 0; row < 4; ++row) {
    double score = 0.0;
    for (size_t i = 0; i < 32; ++i) {
      score += static_cast<double>(sequence.queries[row * 32 + i]) * sequence.keys[row / 2 * 32 + i];
    }
    const double share = 1.0 / (1.0 + std::exp(shape.sinks[row] - score / std::sqrt(32.0)));
    for (size_t i = 0; i < 32; ++i) EXPECT_NEAR(out[row * 32 + i], without[row * 32 + i] * share, 1e-5);
  }
}

TEST(AttentionTest, ANotANumberStaysInItsRow) {
  const Shape shape{"f16", "f16", 2, 32, 70};
  Sequence sequence(shape);
  const std::vector<float> clean = RunChunks(shape, sequence, 70, Way::kAttend);
  const size_t row = 40 * kHeads * 2;  // of [token, query head]
  sequence.queries[row * 32] = NAN;
  const std::vector<float> out = RunChunks(shape, sequence, 70, Way::kAttend);
  for (size_t i = 0; i < out.size(); ++i) {
    if (i / 32 != row) {
      EXPECT_EQ(out[i], clean[i]);
    }
  }
}

TEST(AttentionTest, LaterTokensCannotBeSeen) {
  const Shape shape{"int8", "f16", 2, 32, 100};
  Sequence sequence(shape);
  const std::vector<float> before = RunChunks(shape, sequence, 100, Way::kAttend);
  for (size_t i = 90 * kHeads * 32; i < sequence.values.size(); ++i) sequence.values[i] = INFINITY;
  const std::vector<float> after = RunChunks(shape, sequence, 100, Way::kAttend);
  const size_t visible = 90 * kHeads * 2 * 32;
  EXPECT_TRUE(SameBits({before.begin(), before.begin() + visible}, {after.begin(), after.begin() + visible}));
}

}  // namespace
}  // namespace throng::attention
