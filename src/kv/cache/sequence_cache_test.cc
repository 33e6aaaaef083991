#include "kv/cache/sequence_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "kv/open_codec.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr int kLayers = 3;
constexpr int kHeads = 2;
constexpr int kDim = 24;
constexpr size_t kLarge = size_t{1} << 30;

// Rows of a token are a function of (stream, layer, head, position).
std::vector<float> Row(int stream, int layer, int head, int position) {
  return Normal(kDim, ((stream * 10 + layer) * 10 + head) * 10000 + position);
}

// One forward pass without attention.
void RunChunk(SequenceCache& cache, int count, int stream = 0) {
  const int first = cache.NumTokens();
  cache.BeginChunk(count);
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int head = 0; head < kHeads; ++head) {
      std::vector<float> keys, values;
      for (int i = 0; i < count; ++i) {
        const std::vector<float> k = Row(stream, layer, head, first + i);
        const std::vector<float> v = Row(stream + 1, layer, head, first + i);
        keys.insert(keys.end(), k.begin(), k.end());
        values.insert(values.end(), v.begin(), v.end());
      }
      cache.Append(layer, head, {keys.data(), kDim}, {values.data(), kDim});
      cache.FinishLayer(layer, head);
    }
  }
  cache.EndChunk();
}

void Extend(SequenceCache& cache, int count, int stream = 0) {
  ASSERT_TRUE(cache.Reserve(count));
  RunChunk(cache, count, stream);
}

// All bytes that attention can see of tokens [0, NumTokens()).
std::vector<std::vector<uint8_t>> Contents(SequenceCache& cache) {
  std::vector<std::vector<uint8_t>> contents;
  for (const SealedBlock& block : cache.SealedBlocks()) {
    for (const BlockRef& form : {block.base, block.fine}) {
      std::vector<uint8_t>& bytes = contents.emplace_back();
      if (form != nullptr) bytes.assign(form->Data(), form->Data() + form->Bytes());
    }
  }
  const int rest = cache.NumTokens() % kPageTokens;
  if (rest == 0) return contents;
  // A chunk makes the open pages visible; its own row is in slot `rest`.
  EXPECT_TRUE(cache.Reserve(1));
  cache.BeginChunk(1);
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int head = 0; head < kHeads; ++head) {
      const PageView view = cache.Open(layer, head, cache.NumTokens() / kPageTokens);
      const PageSpec& page = cache.Layout().At(layer, head);
      contents.emplace_back(view.keys, view.keys + page.open_keys->Bytes(Part::kKeys));
      contents.emplace_back(view.values, view.values + page.open_values->Bytes(Part::kValues));
    }
  }
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int head = 0; head < kHeads; ++head) {
      const std::vector<float> row(kDim, 0.0f);
      cache.Append(layer, head, {row.data(), kDim}, {row.data(), kDim});
      cache.FinishLayer(layer, head);
    }
  }
  cache.EndChunk();
  const int num_tokens = cache.NumTokens() - 1;
  EXPECT_EQ(cache.Truncate(num_tokens), num_tokens);
  return contents;
}

std::vector<const char*> AllCodecs() {
  std::vector<const char*> names = {"flashq4:buffer=int8", "gear2:sink=64,recent=64", "rot2:sink=64",
                                    "flashq4:buffer=int8,recent=128"};
  for (const CodecEntry& entry : CodecTable()) names.push_back(entry.name);
  return names;
}

bool RowsHaveTheirOwnScales(const std::string& codec) {
  return codec == "f32" || codec == "f16" || codec == "int8";
}

class SequenceCacheTest : public testing::TestWithParam<const char*> {
 protected:
  SequenceCacheTest()
      : pool_(MakeLayout(CodecFlags{.kv = GetParam()}, AlikeLayers(kLayers, kHeads, kDim)), kLarge) {}
  BlockPool pool_;
};

TEST_P(SequenceCacheTest, ContentsDoNotDependOnChunking) {
  SequenceCache whole(pool_);
  Extend(whole, 200);
  const auto expected = Contents(whole);
  for (const std::vector<int>& pattern :
       {std::vector{1}, {64}, {63, 2}, {7, 60, 130, 3}, {100, 100}, {129}}) {
    SequenceCache cache(pool_);
    for (size_t i = 0; cache.NumTokens() < 200; ++i) {
      Extend(cache, std::min(pattern[i % pattern.size()], 200 - cache.NumTokens()));
    }
    EXPECT_EQ(Contents(cache), expected);
  }
}

TEST_P(SequenceCacheTest, SealedPagesHoldTheEncodedRows) {
  SequenceCache cache(pool_);
  Extend(cache, 150);
  ASSERT_EQ(cache.SealedBlocks().size(), 2u);
  for (int layer = 0; layer < kLayers; ++layer) {
    const PageSpec& page = cache.Layout().At(layer, 1);
    std::vector<float> block;
    for (int t = 0; t < kPageTokens; ++t) {
      const std::vector<float> row = Row(0, layer, 1, 64 + t);
      block.insert(block.end(), row.begin(), row.end());
    }
    const uint8_t* sealed = cache.Sealed(layer, 1, 1).keys;
    if (page.keys->Open() == OpenType::kInt8) {  // its scale comes from the page before
      std::vector<float> rows(block.size());
      page.keys->Decode(Part::kKeys, sealed, rows.data());
      EXPECT_LE(RelativeError(rows, block), 0.13);
      continue;
    }
    AlignedBytes open(page.open_keys->Bytes(Part::kKeys)), encoded(page.keys->Bytes(Part::kKeys));
    page.open_keys->Encode(Part::kKeys, block.data(), open.data());
    page.open_keys->Decode(Part::kKeys, open.data(), block.data());
    page.keys->Encode(Part::kKeys, block.data(), encoded.data());
    EXPECT_EQ(std::memcmp(sealed, encoded.data(), encoded.size()), 0);
  }
}

TEST_P(SequenceCacheTest, HoldsWhatTheFormulaSays) {
  SequenceCache cache(pool_);
  for (const int count : {1, 62, 1, 1, 127, 200}) {
    EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(cache.NumTokens()));
    const size_t before = pool_.HeldBytes();
    const size_t needed = cache.BytesToReserve(count);
    ASSERT_TRUE(cache.Reserve(count));
    EXPECT_EQ(pool_.HeldBytes(), before + needed);
    EXPECT_EQ(pool_.GetLedger().held.Total(), pool_.HeldBytes());
    ASSERT_TRUE(cache.Reserve(1));  // replaces
    ASSERT_TRUE(cache.Reserve(count));
    EXPECT_EQ(pool_.HeldBytes(), before + needed);
    RunChunk(cache, count);
  }
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(392));
  cache.Release();
  EXPECT_EQ(pool_.HeldBytes(), 0u);
}

TEST_P(SequenceCacheTest, AFailedReservationTakesNothing) {
  BlockPool probe(MakeLayout(CodecFlags{.kv = GetParam()}, AlikeLayers(kLayers, kHeads, kDim)), kLarge);
  BlockPool pool(MakeLayout(CodecFlags{.kv = GetParam()}, AlikeLayers(kLayers, kHeads, kDim)),
                 probe.SequenceBytes(2 * kPageTokens) + probe.OpenBytes());
  SequenceCache cache(pool);
  for (int i = 0; i < 70; ++i) Extend(cache, 1);
  const size_t held = pool.HeldBytes();
  EXPECT_FALSE(cache.Reserve(200));
  EXPECT_EQ(pool.HeldBytes(), held);
  const auto contents = Contents(cache);
  EXPECT_FALSE(cache.Reserve(122));
  EXPECT_EQ(Contents(cache), contents);
  EXPECT_TRUE(cache.Reserve(58));
}

TEST_P(SequenceCacheTest, AdoptedBlocksAreSharedAndGoOn) {
  SequenceCache first(pool_);
  Extend(first, 200);
  SequenceCache second(pool_);
  const auto blocks = first.SealedBlocks().first(2);
  const auto usable = UsableBlocks(pool_.Layout(), blocks);
  EXPECT_TRUE(usable == 2u || pool_.Layout().window != FineWindow{});
  second.Adopt(blocks.first(usable));
  EXPECT_EQ(second.NumTokens(), static_cast<int>(usable) * kPageTokens);
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(200));
  Extend(second, 200 - second.NumTokens());
  EXPECT_EQ(Contents(second), Contents(first));
  first.Release();
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(200));
}

TEST_P(SequenceCacheTest, ForksGoTheirOwnWays) {
  SequenceCache cache(pool_);
  Extend(cache, 100);
  std::optional<SequenceCache> fork = cache.Fork();
  ASSERT_TRUE(fork.has_value());
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(100) + pool_.OpenBytes());
  Extend(*fork, 50, 7);
  Extend(cache, 50);
  SequenceCache alone(pool_);
  Extend(alone, 150);
  EXPECT_EQ(Contents(cache), Contents(alone));
  EXPECT_NE(Contents(*fork), Contents(alone));
  EXPECT_EQ(fork->SealedBlocks()[0], cache.SealedBlocks()[0]);
  EXPECT_NE(fork->SealedBlocks()[1], cache.SealedBlocks()[1]);
}

TEST_P(SequenceCacheTest, TruncationForgetsCompletely) {
  for (const int keep : {0, 10, 63, 64, 100, 128, 130, 149, 150, 1000}) {
    SequenceCache cache(pool_);
    Extend(cache, 150, 5);
    const int kept = cache.Truncate(keep);
    EXPECT_EQ(kept, keep >= 150 ? 150 : keep >= 128 ? keep : keep / 64 * 64);
    EXPECT_EQ(cache.NumTokens(), kept);
    EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(kept));
    Extend(cache, 160 - kept, 5);
    SequenceCache alone(pool_);
    Extend(alone, 160, 5);
    EXPECT_EQ(Contents(cache), Contents(alone)) << keep;
  }
}

TEST_P(SequenceCacheTest, GuessesTakeNoMemoryAndAreForgotten) {
  for (const int before : {0, 20, 61, 62, 63, 64, 127, 130}) {
    for (const int chunk : {1, 3, 70}) {
      SequenceCache cache(pool_);
      if (before > 0) Extend(cache, before, 5);
      ASSERT_TRUE(cache.Reserve(chunk));
      const size_t held = pool_.HeldBytes();
      const int used = (before + chunk) % kPageTokens;
      const int guesses = cache.ReserveGuesses(5);
      EXPECT_EQ(guesses, used == 0 ? 0 : std::min(5, 63 - used));
      EXPECT_EQ(pool_.HeldBytes(), held);
      RunChunk(cache, chunk + guesses, 5);
      const int kept = before + chunk + guesses / 2;
      EXPECT_EQ(cache.Truncate(kept), kept);
      EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(kept));
      SequenceCache alone(pool_);
      Extend(alone, kept, 5);
      // To see a page of 63 rows would seal it.
      if (kept % kPageTokens != 63) {
        EXPECT_EQ(Contents(cache), Contents(alone)) << before << " and " << chunk;
      }
      Extend(cache, 70, 5);
      Extend(alone, 70, 5);
      EXPECT_EQ(Contents(cache), Contents(alone)) << before << " and " << chunk;
    }
  }
}

// The rows of a sealed block, copied before it was sealed, and of an incomplete one that was given away.
TEST_P(SequenceCacheTest, OthersGoOnFromTheMiddleOfABlock) {
  constexpr int kBlock = 2;
  SequenceCache cache(pool_);
  Extend(cache, 150, 5);
  ASSERT_TRUE(cache.Reserve(70));  // completes the block
  ASSERT_TRUE(cache.ReserveRows(kBlock));
  RunChunk(cache, 70, 5);
  const auto taken = cache.TakeRows();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].block, kBlock);
  const BlockRef sealed = taken[0].rows;
  EXPECT_TRUE(cache.TakeRows().empty());
  SequenceCache other(pool_);
  Extend(other, 180, 5);
  const BlockRef open = other.TakeOpen();
  ASSERT_NE(open, nullptr);
  EXPECT_EQ(other.NumTokens(), 128);
  EXPECT_EQ(other.TakeOpen(), nullptr);
  const auto before = other.SealedBlocks();  // with what the next token sees of them
  for (const int count : {1, 17, 52, 63}) {
    for (const BlockRef& rows : {sealed, open}) {
      if (count > 52 && rows == open) continue;
      SequenceCache fork(pool_);
      ASSERT_TRUE(fork.AdoptOpen(before, count, *rows, nullptr));
      EXPECT_EQ(fork.NumTokens(), 128 + count);
      Extend(fork, 20, 7);
      Extend(fork, 70, 7);
      SequenceCache alone(pool_);
      Extend(alone, 128 + count, 5);
      Extend(alone, 90, 7);
      EXPECT_EQ(Contents(fork), Contents(alone)) << count;
    }
  }
}

// Of a chunk over several blocks, each but the first is in memory that the next layer uses again.
TEST_P(SequenceCacheTest, RowsOfAllBlocksOfAChunkAreKept) {
  SequenceCache whole(pool_);
  Extend(whole, 10, 5);
  ASSERT_TRUE(whole.Reserve(190));
  for (const int block : {0, 1, 2}) ASSERT_TRUE(whole.ReserveRows(block));
  RunChunk(whole, 190, 5);
  const auto taken = whole.TakeRows();
  ASSERT_EQ(taken.size(), 3u);
  for (const auto& [block, rows] : taken) {
    const auto before = whole.SealedBlocks().first(static_cast<size_t>(block));
    if (UsablePages(pool_.Layout(), before) != before.size()) continue;
    SequenceCache fork(pool_);
    ASSERT_TRUE(fork.AdoptOpen(before, 40, *rows, nullptr));
    SequenceCache alone(pool_);
    Extend(alone, block * kPageTokens + 40, 5);
    EXPECT_EQ(Contents(fork), Contents(alone)) << block;
  }
}

TEST_P(SequenceCacheTest, RowsThatNobodyTakesGo) {
  SequenceCache cache(pool_);
  ASSERT_TRUE(cache.Reserve(64));
  ASSERT_TRUE(cache.ReserveRows(0));
  RunChunk(cache, 64, 5);
  cache.Release();
  EXPECT_EQ(pool_.HeldBytes(), 0u);
}

TEST_P(SequenceCacheTest, AnAbandonedChunkGivesEverythingBack) {
  SequenceCache cache(pool_);
  Extend(cache, 100);
  ASSERT_TRUE(cache.Reserve(300));
  cache.BeginChunk(300);
  cache.Release();
  EXPECT_EQ(pool_.HeldBytes(), 0u);
  Extend(cache, 10);
  SequenceCache moved(std::move(cache));
  EXPECT_EQ(moved.NumTokens(), 10);
  cache = std::move(moved);
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(10));
}

TEST_P(SequenceCacheTest, WildRowsDoNotReachOtherRows) {
  SequenceCache cache(pool_);
  ASSERT_TRUE(cache.Reserve(64));
  cache.BeginChunk(64);
  std::vector<float> rows = Normal(64 * kDim, 1);
  rows[5 * kDim + 3] = NAN;
  rows[6 * kDim + 3] = INFINITY;
  cache.Append(0, 0, {rows.data(), kDim}, {rows.data(), kDim});
  const Form form = cache.Layout().window.HasBase(0) ? Form::kBase : Form::kFine;
  std::vector<float> decoded(64 * kDim);
  cache.Layout().At(0, 0).Values(form).Decode(Part::kValues, cache.Sealed(0, 0, 0, form).values,
                                              decoded.data());
  for (int i = 0; i < 64 * kDim; ++i) {
    EXPECT_TRUE(std::isfinite(decoded[i]));
    if (!RowsHaveTheirOwnScales(GetParam())) continue;
    if (i / kDim != 6) {
      EXPECT_NEAR(decoded[i], i == 5 * kDim + 3 ? 0.0f : rows[i], 0.02f);
    }
  }
  cache.Release();
}

// Which forms the sealed blocks have, as "f" (fine), "b" (base) or "2" (both) each.
std::string Forms(const SequenceCache& cache) {
  std::string forms;
  for (const SealedBlock& block : cache.SealedBlocks()) {
    forms += block.base == nullptr ? "f" : block.fine == nullptr ? "b" : "2";
  }
  return forms;
}

class FineWindowTest : public testing::Test {
 protected:
  BlockPool pool_{
      MakeLayout(CodecFlags{.kv = "kivi2:sink=64,recent=128"}, AlikeLayers(kLayers, kHeads, kDim)), kLarge};
};

TEST_F(FineWindowTest, FineFormsAreReleasedWhenNobodyCanSeeThem) {
  SequenceCache cache(pool_);
  for (const char* forms : {"f", "f2", "f22", "fb22", "fbb22"}) {
    for (const int count : {1, 62, 1}) Extend(cache, count);
    EXPECT_EQ(Forms(cache), forms);
    const Ledger ledger = pool_.GetLedger();
    EXPECT_EQ(ledger.held.Total(),
              ledger.sealed_blocks * pool_.SealedBytes() + ledger.fine_blocks * pool_.FineBytes());
    EXPECT_EQ(ledger.sealed_blocks,
              static_cast<size_t>(std::ranges::count_if(cache.SealedBlocks(),
                                                        [](const auto& b) { return b.base != nullptr; })));
    EXPECT_EQ(ledger.fine_blocks,
              static_cast<size_t>(std::ranges::count_if(cache.SealedBlocks(),
                                                        [](const auto& b) { return b.fine != nullptr; })));
  }
  SequenceCache at_once(pool_);
  Extend(at_once, 320);
  EXPECT_EQ(Forms(at_once), "fbb22");
}

TEST_F(FineWindowTest, BothFormsAreEncodedFromTheSameRows) {
  SequenceCache cache(pool_), without(pool_);
  Extend(cache, 3 * kPageTokens);
  const auto int8 = ParseCodec("int8", kDim);
  std::vector<float> block;
  for (int t = 0; t < kPageTokens; ++t) {
    const std::vector<float> row = Row(0, 1, 1, kPageTokens + t);
    block.insert(block.end(), row.begin(), row.end());
  }
  const PageSpec& page = cache.Layout().At(1, 1);
  AlignedBytes open(page.open_keys->Bytes(Part::kKeys));
  page.open_keys->Encode(Part::kKeys, block.data(), open.data());
  page.open_keys->Decode(Part::kKeys, open.data(), block.data());
  for (const Form form : {Form::kBase, Form::kFine}) {
    AlignedBytes encoded(page.Keys(form).Bytes(Part::kKeys));
    page.Keys(form).Encode(Part::kKeys, block.data(), encoded.data());
    EXPECT_EQ(std::memcmp(cache.Sealed(1, 1, 1, form).keys, encoded.data(), encoded.size()), 0);
  }
  EXPECT_EQ(page.fine_keys->Name(), "int8");
}

// Going back takes fine forms that may be gone: then more must be computed again.
TEST_F(FineWindowTest, ForksAndTruncationsKeepWhatCanGoOn) {
  SequenceCache cache(pool_);
  Extend(cache, 5 * kPageTokens + 10);
  EXPECT_EQ(Forms(cache), "fbb22");
  for (const auto& [tokens, kept] :
       {std::pair(330, 330), {321, 321}, {320, 320}, {319, 64}, {256, 64}, {64, 64}, {63, 0}}) {
    EXPECT_EQ(cache.Reusable(tokens), kept);
    std::optional<SequenceCache> fork = cache.Fork(tokens);
    ASSERT_TRUE(fork.has_value());
    EXPECT_EQ(fork->NumTokens(), kept);
    Extend(*fork, 400 - kept);
    SequenceCache alone(pool_);
    Extend(alone, 400);
    EXPECT_EQ(Contents(*fork), Contents(alone));
  }
  EXPECT_EQ(cache.Truncate(256), 64);
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(64));
}

TEST_F(FineWindowTest, ABlockIsUsableWithTheFineFormsBeforeIt) {
  const auto usable = [&](const FineWindow& window, const std::string& forms) {
    std::vector<SealedBlock> blocks;
    for (const char form : forms) {
      SealedBlock& block = blocks.emplace_back();
      if (form != 'f') block.base = pool_.TryAllocateSealed();
      if (form != 'b') block.fine = pool_.TryAllocate(BlockKind::kFine);
    }
    BlockLayout layout;
    layout.window = window;
    return UsablePages(layout, blocks);
  };
  EXPECT_EQ(usable({}, "bbb"), 3u);
  EXPECT_EQ(usable({.sink_blocks = 1}, "fbbb"), 4u);
  const FineWindow window{.sink_blocks = 1, .recent_blocks = 2};
  EXPECT_EQ(usable(window, ""), 0u);
  EXPECT_EQ(usable(window, "f"), 1u);
  EXPECT_EQ(usable(window, "f2"), 2u);
  EXPECT_EQ(usable(window, "f2b"), 2u);
  EXPECT_EQ(usable(window, "fbb"), 1u);
  EXPECT_EQ(usable(window, "fb22b"), 4u);
  EXPECT_EQ(usable(window, "fb2b2"), 1u);
  EXPECT_EQ(usable({.recent_blocks = 2}, "b2"), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, SequenceCacheTest, testing::ValuesIn(AllCodecs()),
                         [](const auto& info) { return "codec" + std::to_string(info.index); });

}  // namespace
}  // namespace throng::kv
