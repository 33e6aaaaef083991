// The bytes of every codec, of the pool and of the ledger against formulas of the papers' accounting, with
// units of 64 tokens. The formulas are written here independently of the codecs' own arithmetic.
#include "kv/cache/ledger.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"

namespace throng::kv {
namespace {

constexpr int n = kPageTokens;

struct Formula {
  double bits;
  // Bytes of one page's scales, low-rank factors and outliers.
  std::function<size_t(Part, int d)> scales = [](Part, int) { return size_t{0}; };
  int rank = 0;
  double sparsity = 0;
  double value_bits = 0;  // 0: as bits
};

size_t CeilDiv(int a, int b) { return static_cast<size_t>((a + b - 1) / b); }

// f16 scale and zero of groups of g: keys per channel over tokens, values per token over channels.
std::function<size_t(Part, int)> Groups(int g) {
  return
      [g](Part part, int d) { return part == Part::kKeys ? 4 * d * CeilDiv(n, g) : 4 * n * CeilDiv(d, g); };
}

// KCVT's values have one pair per token and head.
size_t WholeRows(Part part, int d) { return size_t{4} * (part == Part::kKeys ? d : n); }
// FlashQ: one byte each of scale and zero per channel, one f32 scale per block.
size_t Channels(Part, int d) { return size_t{2} * d + 4; }
size_t ChannelsAndMean(Part part, int d) { return Channels(part, d) + 4; }
// KVarN: a pair for each channel of keys or token of values, and a factor for each of the others, f16.
size_t RowsAndColumns(Part part, int d) {
  return part == Part::kKeys ? size_t{4} * d + size_t{2} * n : size_t{4} * n + size_t{2} * d;
}
size_t PairPerToken(Part, int) { return size_t{4} * n; }  // two f16, or one f32

// By specification.
const std::map<std::string, Formula>& Formulas() {
  static const std::map<std::string, Formula> formulas = {
      {"f32", {32}},
      {"f16", {16}},
      {"int8", {8, PairPerToken}},
      {"kivi4", {4, Groups(64)}},
      {"kivi3", {3, Groups(64)}},
      {"kivi2", {2, Groups(64)}},
      {"kivi2:g=32", {2, Groups(32)}},
      {"kcvt4", {4, WholeRows}},
      {"gearl4", {4, Groups(64), 4}},
      {"gearl2", {2, Groups(64), 4}},
      {"gear4", {4, Groups(64), 4, 0.02}},
      {"gear2", {2, Groups(64), 2, 0.01}},
      {"gear2:r=7,s=5%,g=16", {2, Groups(16), 7, 0.05}},
      {"gear4:kcvt=1", {4, WholeRows, 4, 0.02}},
      {"flashq4:buffer=int8", {4, ChannelsAndMean}},
      {"flashq2:buffer=int8", {2, ChannelsAndMean}},
      {"flashq4", {4, Channels}},
      {"flashq2", {2, Channels}},
      {"rot4", {4, PairPerToken}},
      {"rot3", {3, PairPerToken}},
      {"rot2", {2, PairPerToken}},
      {"kvarn", {4, RowsAndColumns, 0, 0, 2}},
      {"kvarn:v=4", {4, RowsAndColumns}},
      {"int4", {4, PairPerToken}},
      {"fp8", {8, PairPerToken}},
  };
  return formulas;
}

ByteCounts Expected(const Formula& formula, Part part, int d) {
  ByteCounts bytes;
  const bool own = part == Part::kValues && formula.value_bits > 0;
  bytes.codes = static_cast<size_t>(n * d * (own ? formula.value_bits : formula.bits) / 8);
  bytes.scales = formula.scales(part, d);
  // 8 bits per element of A [n, r] and B [d, r], and an f32 scale for each column of both together: half of
  // the papers' 2 r (n + d).
  bytes.low_rank = static_cast<size_t>(formula.rank) * (n + d + 4);
  // 2 bytes of index, 2 of value.
  bytes.sparse = 4 * static_cast<size_t>(std::lround(formula.sparsity * n * d));
  return bytes;
}

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

TEST(LedgerTest, EveryLineOfTheTableHasAFormula) {
  for (const CodecEntry& entry : CodecTable()) EXPECT_TRUE(Formulas().contains(entry.name)) << entry.name;
}

TEST(LedgerTest, CodecsTakeWhatTheirFormulasSay) {
  for (const auto& [name, formula] : Formulas()) {
    for (const int d : {8, 24, 64, 80, 96, 128, 256, 576}) {
      SCOPED_TRACE(name + " " + std::to_string(d));
      const auto codec = ParseCodec(name, d);
      for (const Part part : {Part::kKeys, Part::kValues}) {
        const ByteCounts expected = Expected(formula, part, d);
        const ByteCounts counts = codec->Count(part);
        EXPECT_EQ(counts.codes, expected.codes);
        EXPECT_EQ(counts.scales, expected.scales);
        EXPECT_EQ(counts.low_rank, expected.low_rank);
        EXPECT_EQ(counts.sparse, expected.sparse);
        EXPECT_EQ(codec->Bytes(part), expected.Total());
      }
    }
  }
}

TEST(LedgerTest, ThePoolTakesTheSameAndSaysSo) {
  constexpr int kLayers = 3, kHeads = 2, kDim = 80, kBlocks = 4;
  for (const auto& [name, formula] : Formulas()) {
    SCOPED_TRACE(name);
    BlockPool pool(MakeLayout(CodecFlags{.kv = name}, AlikeLayers(kLayers, kHeads, kDim)), size_t{1} << 30);
    std::vector<std::shared_ptr<Block>> blocks;
    for (int i = 0; i < kBlocks; ++i) blocks.push_back(pool.TryAllocateSealed());
    const ByteCounts keys = Expected(formula, Part::kKeys, kDim);
    const ByteCounts values = Expected(formula, Part::kValues, kDim);
    const size_t pages = kBlocks * kLayers * kHeads;
    const LedgerBytes held = pool.GetLedger().held;
    EXPECT_EQ(held.codes, pages * (keys.codes + values.codes));
    EXPECT_EQ(held.scales, pages * (keys.scales + values.scales));
    EXPECT_EQ(held.low_rank, pages * (keys.low_rank + values.low_rank));
    EXPECT_EQ(held.sparse, pages * (keys.sparse + values.sparse));
    const size_t block = kLayers * kHeads * (RoundUp(keys.Total(), 64) + RoundUp(values.Total(), 64));
    EXPECT_EQ(pool.Layout().bytes, block);
    EXPECT_EQ(pool.SealedBytes(), RoundUp(block, 4096));
    EXPECT_EQ(held.Total(), kBlocks * RoundUp(block, 4096));
    EXPECT_EQ(held.Total(), pool.HeldBytes());
    EXPECT_EQ(held.padding, held.Total() - pages * (keys.Total() + values.Total()));
  }
}

// An open page of 8 bits takes the bytes of its rows, their scales and a line with the universal scale.
TEST(LedgerTest, TheInt8BufferIsInTheOpenBytes) {
  constexpr int kLayers = 3, kHeads = 2, kDim = 80;
  const auto open_bytes = [&](const char* codec) {
    BlockPool pool(MakeLayout(CodecFlags{.kv = codec}, AlikeLayers(kLayers, kHeads, kDim)), size_t{1} << 30);
    const auto block = pool.TryAllocateOpen();
    EXPECT_EQ(pool.GetLedger().held.open, pool.Layout().open_bytes);
    return pool.Layout().open_bytes;
  };
  const size_t page = 64 * kDim + 64 * 4 + 64;
  EXPECT_EQ(open_bytes("flashq4:buffer=int8"), kLayers * kHeads * 2 * page);
  EXPECT_EQ(open_bytes("flashq4"), kLayers * kHeads * 2 * size_t{64} * kDim * 2);
}

// The specifications' own numbers: bytes per token and layer of 32 heads of size 128.
TEST(LedgerTest, AgreesWithTheTablesOfTheSpecifications) {
  constexpr int kHeads = 32, kDim = 128;
  const auto bytes = [](const std::string& name) {
    const BlockLayout layout = MakeLayout(CodecFlags{.kv = name}, AlikeLayers(1, kHeads, kDim));
    size_t sum = 0;
    for (const PageSpec& page : layout.pages) {
      sum += page.keys->Bytes(Part::kKeys) + page.values->Bytes(Part::kValues);
    }
    return static_cast<double>(sum) / n;
  };
  EXPECT_DOUBLE_EQ(bytes("f16"), 16384);
  // TurboAttention, its storage per page
  EXPECT_DOUBLE_EQ(bytes("flashq4"), 4356);
  EXPECT_DOUBLE_EQ(bytes("flashq2"), 2308);
  EXPECT_DOUBLE_EQ(bytes("flashq-mixed:bits=24"), 3332);
  // KIVI and GEAR, their storage per page
  EXPECT_DOUBLE_EQ(bytes("kivi4"), 4608);
  EXPECT_DOUBLE_EQ(bytes("kivi2"), 2560);
  // Its chunk of 64 tokens: codes 4096, keys' scales 4 * 4096 / 64, and the option of a pair per head.
  EXPECT_DOUBLE_EQ(bytes("kcvt4"), 4096 + 256 + 4 * kHeads);
  // Factors: the table's 1536 in 16 bits are 768 in 8, and the scales of 4 columns of both tensors.
  EXPECT_DOUBLE_EQ(bytes("gearl2"), 2560 + 768 + 2.0 * 4 * 4 * kHeads / n);
  // Outliers: 2 % of 64 x 128, for which the papers' count per vector of 64 would be none of the keys.
  EXPECT_DOUBLE_EQ(bytes("gear2:r=4,s=2%"), bytes("gearl2") + 4.0 * 2 * kHeads * 164 / n);
}

}  // namespace
}  // namespace throng::kv
