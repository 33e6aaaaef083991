// Caches whose layers differ: in heads, in the sizes of keys and values, with values in the keys, and kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/page_file.h"
#include "kv/cache/sequence_cache.h"
#include "kv/cache/spill_file.h"
#include "kv/layer_codecs.h"
#include "kv/open_codec.h"
#include "kv/testing/message_of.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr size_t kLarge = size_t{1} << 30;

const std::vector<LayerShape> kShapes = {
    {.num_kv_heads = 2, .key_dim = 64, .value_dim = 64},
    {.num_kv_heads = 1, .key_dim = 128, .value_dim = 64, .kept = true},
    {.num_kv_heads = 1, .key_dim = 80, .value_dim = 64, .values_in_keys = true},
    {.num_kv_heads = 3, .key_dim = 24, .value_dim = 40},
    {.num_kv_heads = 1, .key_dim = 48, .value_dim = 8, .values_in_keys = true, .kept = true},
};

// Rows of tokens [first, first + count): a function of layer, head, part and position.
std::vector<float> RowsOf(int layer, int head, Part part, int head_dim, int first, int count) {
  std::vector<float> rows;
  for (int position = first; position < first + count; ++position) {
    const int seed = ((layer * 10 + head) * 2 + static_cast<int>(part)) * 10000 + position;
    const std::vector<float> row = Normal(static_cast<size_t>(head_dim), static_cast<uint64_t>(seed));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

void AppendLayer(SequenceCache& cache, int layer) {
  const LayerShape& shape = cache.Layout().layers[static_cast<size_t>(layer)];
  for (int head = 0; head < shape.num_kv_heads; ++head) {
    const auto rows = [&](Part part, int dim) {
      return RowsOf(layer, head, part, dim, cache.NumTokens(), cache.ChunkTokens());
    };
    const std::vector<float> keys = rows(Part::kKeys, shape.key_dim);
    const std::vector<float> values = rows(Part::kValues, shape.value_dim);
    cache.Append(layer, head, {keys.data(), static_cast<size_t>(shape.key_dim)},
                 {values.data(), static_cast<size_t>(shape.value_dim)});
  }
}

void FinishLayer(SequenceCache& cache, int layer) {
  const LayerShape& shape = cache.Layout().layers[static_cast<size_t>(layer)];
  for (int head = 0; head < shape.num_kv_heads; ++head) cache.FinishLayer(layer, head);
}

// One forward pass without attention.
void Extend(SequenceCache& cache, int count) {
  ASSERT_TRUE(cache.Reserve(count));
  cache.BeginChunk(count);
  for (int layer = 0; layer < cache.Layout().NumLayers(); ++layer) {
    AppendLayer(cache, layer);
    FinishLayer(cache, layer);
  }
  cache.EndChunk();
}

// All sealed blocks, and the pages of the open one.
std::vector<std::string> Contents(const SequenceCache& cache) {
  std::vector<std::string> contents;
  const auto add = [&](const uint8_t* data, size_t bytes) { contents.emplace_back(data, data + bytes); };
  for (const SealedBlock& block : cache.SealedBlocks()) {
    for (const BlockRef& form : {block.base, block.sliding, block.fine}) {
      if (form != nullptr) add(form->Data(), form->Bytes());
    }
  }
  const uint8_t* rows = cache.OpenRows() == nullptr ? nullptr : cache.OpenRows()->Data();
  for (const PageSpec& page : cache.Layout().pages) {
    if (rows == nullptr) break;
    add(rows + page.open_keys_offset, page.open_keys->Bytes(Part::kKeys));
    if (page.values == nullptr) continue;
    add(rows + page.open_values_offset, page.open_values->Bytes(Part::kValues));
  }
  return contents;
}

// A codec, after "~" if layers slide.
class LayerShapesTest : public testing::TestWithParam<const char*> {
 protected:
  static BlockLayout Layout(const std::vector<LayerShape>& shapes) {
    const std::string param = GetParam();
    const bool slides = param.front() == '~';
    const std::vector<Reach> reaches = {{}, {.window = 70}, {.chunk = 96}, {}, {.window = 1}};
    return WithReaches(MakeLayout(CodecFlags{.kv = param.substr(slides ? 1 : 0)}, shapes),
                       slides ? std::span(reaches) : std::span<const Reach>());
  }

  BlockPool pool_{Layout(kShapes), kLarge};
};

TEST_P(LayerShapesTest, EveryHeadHasItsOwnPages) {
  const BlockLayout& layout = pool_.Layout();
  ASSERT_EQ(layout.pages.size(), 8u);
  std::vector<std::pair<size_t, size_t>> sealed, sliding, open;  // begin and end
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const LayerShape& shape = kShapes[static_cast<size_t>(layer)];
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      const PageSpec& page = layout.At(layer, head);
      auto& pages = layout.Slides(layer) ? sliding : sealed;
      pages.emplace_back(page.keys_offset, page.keys_offset + page.keys->Bytes(Part::kKeys));
      open.emplace_back(page.open_keys_offset, page.open_keys_offset + page.open_keys->Bytes(Part::kKeys));
      EXPECT_EQ(page.values == nullptr, shape.values_in_keys);
      EXPECT_EQ(page.Parts().size(), shape.values_in_keys ? 1u : 2u);
      if (page.values == nullptr) continue;
      pages.emplace_back(page.values_offset, page.values_offset + page.values->Bytes(Part::kValues));
      open.emplace_back(page.open_values_offset,
                        page.open_values_offset + page.open_values->Bytes(Part::kValues));
    }
  }
  for (auto* ranges : {&sealed, &sliding, &open}) {
    std::ranges::sort(*ranges);
    for (size_t i = 0; i + 1 < ranges->size(); ++i) EXPECT_LE((*ranges)[i].second, (*ranges)[i + 1].first);
  }
  EXPECT_LE(sealed.back().second, layout.bytes);
  EXPECT_LE(sliding.empty() ? 0 : sliding.back().second, layout.sliding_bytes);
  EXPECT_LE(open.back().second, layout.open_bytes);
}

TEST_P(LayerShapesTest, ContentsDoNotDependOnChunking) {
  SequenceCache whole(pool_);
  Extend(whole, 200);
  for (const std::vector<int>& pattern : {std::vector{1}, {64}, {63, 2}, {7, 60, 130, 3}, {100, 100}}) {
    SequenceCache cache(pool_);
    for (size_t i = 0; cache.NumTokens() < 200; ++i) {
      Extend(cache, std::min(pattern[i % pattern.size()], 200 - cache.NumTokens()));
    }
    EXPECT_EQ(Contents(cache), Contents(whole));
  }
}

TEST_P(LayerShapesTest, OpenPagesOfKeptLayersStayUntilTheEndOfTheChunk) {
  SequenceCache cache(pool_);
  Extend(cache, 10);
  ASSERT_TRUE(cache.Reserve(150));
  cache.BeginChunk(150);
  // What attention reads of a layer, at the end of each of its open pages.
  const auto pages = [&](int layer) {
    std::vector<std::string> read;
    for (int block = 0; block <= 2; ++block) {
      const PageSpec& page = cache.Layout().At(layer, 0);
      const PageView view = cache.Open(layer, 0, block);
      read.emplace_back(view.keys, view.keys + page.open_keys->Bytes(Part::kKeys));
      EXPECT_EQ(view.values == nullptr, page.values == nullptr);
      if (view.values == nullptr) continue;
      read.emplace_back(view.values, view.values + page.open_values->Bytes(Part::kValues));
    }
    return read;
  };
  std::vector<std::string> of_kept;
  for (int layer = 0; layer < cache.Layout().NumLayers(); ++layer) {
    AppendLayer(cache, layer);
    if (layer == 1) of_kept = pages(1);
    FinishLayer(cache, layer);
    if (layer >= 1) {
      EXPECT_EQ(pages(1), of_kept) << layer;
    }
  }
  cache.EndChunk();
  SequenceCache alone(pool_);
  Extend(alone, 160);
  EXPECT_EQ(Contents(cache), Contents(alone));
}

TEST_P(LayerShapesTest, HoldsWhatTheLedgerSays) {
  SequenceCache cache(pool_);
  for (const int count : {1, 62, 1, 1, 127, 200}) {
    const size_t before = pool_.HeldBytes();
    const size_t needed = cache.BytesToReserve(count);
    ASSERT_TRUE(cache.Reserve(count));
    EXPECT_EQ(pool_.HeldBytes(), before + needed);
    Extend(cache, count);
    EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(cache.NumTokens()));
    EXPECT_EQ(pool_.GetLedger().held.Total(), pool_.HeldBytes());
  }
}

TEST_P(LayerShapesTest, ForksTruncationsAndAdoptedBlocksGoOn) {
  SequenceCache alone(pool_);
  Extend(alone, 200);
  SequenceCache cache(pool_);
  Extend(cache, 150);
  std::optional<SequenceCache> fork = cache.Fork(140);
  ASSERT_TRUE(fork.has_value());
  Extend(*fork, 200 - fork->NumTokens());
  EXPECT_EQ(Contents(*fork), Contents(alone));
  SequenceCache adopted(pool_);
  adopted.Adopt(cache.SealedBlocks().first(UsableBlocks(pool_.Layout(), cache.SealedBlocks())));
  Extend(adopted, 200 - adopted.NumTokens());
  EXPECT_EQ(Contents(adopted), Contents(alone));
  cache.Truncate(131);
  Extend(cache, 200 - cache.NumTokens());
  EXPECT_EQ(Contents(cache), Contents(alone));
}

TEST_P(LayerShapesTest, BlocksComeBackFromDisk) {
  SequenceCache cache(pool_);
  Extend(cache, 150);
  SpillFile file(testing::TempDir(), pool_.Layout(), kLarge);
  std::vector<SealedBlock> read;
  for (const SealedBlock& block : cache.SealedBlocks()) {
    const int64_t number = file.Write(block);
    ASSERT_GE(number, 0);
    const auto slab = [&](BlockKind kind) -> BlockRef {
      if (!file.Has(number, kind)) return nullptr;
      std::shared_ptr<Block> data = pool_.TryAllocate(kind);
      EXPECT_TRUE(file.Read(number, kind, *data));
      return data;
    };
    read.push_back({.base = slab(BlockKind::kSealed),
                    .sliding = slab(BlockKind::kSliding),
                    .fine = slab(BlockKind::kFine)});
  }
  SequenceCache again(pool_);
  again.Adopt(std::span(read).first(UsableBlocks(pool_.Layout(), read)));
  Extend(again, 200 - again.NumTokens());
  Extend(cache, 50);
  EXPECT_EQ(Contents(again), Contents(cache));
}

TEST_P(LayerShapesTest, PageFilesComeBackAndGoOn) {
  const PageSource source{{1, 2}, "softmax=exact simd=test"};
  const std::string path = testing::TempDir() + "/layer_shapes_" + std::to_string(getpid());
  const std::vector<int32_t> tokens(150, 7);
  SequenceCache cache(pool_);
  Extend(cache, 150);
  SavePages(path, source, tokens, cache);
  SavedPages saved = LoadPages(path, source, pool_);
  EXPECT_EQ(Contents(saved.cache), Contents(cache));
  Extend(saved.cache, 50);
  Extend(cache, 50);
  EXPECT_EQ(Contents(saved.cache), Contents(cache));

  std::vector<LayerShape> others = kShapes;
  others[1].kept = false;  // concerns no bytes
  BlockPool same(Layout(others), kLarge);
  EXPECT_EQ(LoadPages(path, source, same).tokens, tokens);
  std::swap(others[0], others[1]);
  for (const auto& shapes : {others, AlikeLayers(5, 2, 64)}) {
    BlockPool other(Layout(shapes), kLarge);
    EXPECT_EQ(MessageOf([&] { LoadPages(path, source, other); }),
              path + ": the pages are of another shape: " + ShapeName(kShapes) + ", here it is " +
                  ShapeName(shapes));
    EXPECT_EQ(other.HeldBytes(), 0u);
  }
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(All, LayerShapesTest,
                         testing::Values("f32", "f16", "int8", "gear2", "kvarn", "flashq4:buffer=int8",
                                         "rot3:sink=64,recent=64", "~f16", "~gear2", "~flashq4:buffer=int8",
                                         "~rot3:sink=64,recent=64"),
                         [](const auto& info) { return "codec" + std::to_string(info.index); });

// Which blocks have sliding pages, as "s" or "-" each.
std::string Sliding(const SequenceCache& cache) {
  std::string blocks;
  for (const SealedBlock& block : cache.SealedBlocks()) blocks += block.sliding == nullptr ? '-' : 's';
  return blocks;
}

class SlidingTest : public testing::Test {
 protected:
  static BlockLayout Layout(const std::vector<Reach>& reaches) {
    return WithReaches(
        MakeLayout(CodecFlags{.kv = "int8"}, AlikeLayers(static_cast<int>(reaches.size()), 1, 64)), reaches);
  }
};

TEST_F(SlidingTest, PagesAreReleasedWhenNobodyCanSeeThem) {
  for (const Reach other : {Reach{}, Reach{.window = 10}}) {
    BlockPool pool(Layout({other, {.window = 129}}), kLarge);
    EXPECT_EQ(pool.Layout().bytes, other.SeesAll() ? 64u * (64 * 2 + 4 * 2) : kNoPages);
    SequenceCache cache(pool);
    for (const char* blocks : {"s", "ss", "-ss", "--ss", "---ss"}) {
      for (const int count : {1, 62, 1}) Extend(cache, count);
      EXPECT_EQ(Sliding(cache), blocks);
      const Ledger ledger = pool.GetLedger();
      EXPECT_EQ(ledger.sealed_blocks, cache.SealedBlocks().size());
      EXPECT_EQ(ledger.sliding_blocks, std::min<size_t>(2, cache.SealedBlocks().size()));
      EXPECT_EQ(ledger.held.Total(),
                ledger.sealed_blocks * pool.SealedBytes() + ledger.sliding_blocks * pool.SlidingBytes());
      EXPECT_EQ(pool.HeldBytes(), pool.SequenceBytes(cache.NumTokens()));
    }
    SequenceCache at_once(pool);
    Extend(at_once, 320);
    EXPECT_EQ(Sliding(at_once), "---ss");
    EXPECT_EQ(Contents(at_once), Contents(cache));
  }
}

TEST_F(SlidingTest, ChunksEndAtOnceAndTheBlockBeforeStays) {
  BlockPool pool(Layout({{}, {.chunk = 192}}), kLarge);
  SequenceCache cache(pool);
  for (const char* blocks : {"s", "ss", "--s", "---s", "---ss", "-----s"}) {
    Extend(cache, kPageTokens);
    EXPECT_EQ(Sliding(cache), blocks);
    EXPECT_EQ(pool.HeldBytes(), pool.SequenceBytes(cache.NumTokens()));
  }
  EXPECT_EQ(pool.MostSlidingBytes(6 * kPageTokens), 2 * pool.SlidingBytes());
  EXPECT_EQ(pool.MostSequenceBytes(384), 6 * pool.SealedBytes() + 2 * pool.SlidingBytes());
}

TEST_F(SlidingTest, ForksGoOnFromWhatIsThere) {
  BlockPool pool(Layout({{}, {.window = 129}}), kLarge);
  SequenceCache cache(pool);
  Extend(cache, 350);
  EXPECT_EQ(cache.Reusable(349), 349);
  EXPECT_EQ(cache.Reusable(320), 320);
  EXPECT_EQ(cache.Reusable(319), 0);
  SequenceCache kept(pool);
  ASSERT_TRUE(kept.Reserve(350));
  kept.KeepUnseen();
  kept.BeginChunk(350);
  for (int layer = 0; layer < 2; ++layer) {
    AppendLayer(kept, layer);
    FinishLayer(kept, layer);
  }
  kept.EndChunk();
  EXPECT_EQ(Sliding(kept), "sssss");
  EXPECT_EQ(kept.Fork(319)->NumTokens(), 256);
  EXPECT_EQ(Sliding(*kept.Fork(319)), "--ss");
  kept.ReleaseKept();
  EXPECT_EQ(Sliding(kept), "---ss");
  EXPECT_EQ(kept.Fork(319)->NumTokens(), 0);
  EXPECT_EQ(Contents(*kept.Fork()), Contents(cache));
}

TEST(LayerShapeLedgerTest, CountsTheBytesOfEveryPage) {
  const BlockPool pool(MakeLayout(CodecFlags{.kv = "int8"}, kShapes), kLarge);
  const size_t keys = 2 * 64 + 128 + 80 + 3 * 24 + 48, values = 2 * 64 + 64 + 3 * 40;
  const LedgerBytes bytes = SealedBlockBytes(pool.Layout(), BlockKind::kSealed, pool.SealedBytes());
  EXPECT_EQ(bytes.codes, kPageTokens * (keys + values));
  EXPECT_EQ(bytes.scales, (8 + 6) * kPageTokens * sizeof(float));
  EXPECT_EQ(bytes.Total(), pool.SealedBytes());
  EXPECT_EQ(pool.Layout().open_bytes, kPageTokens * 2 * (keys + values));
  // The largest layer that is not kept, and both that are.
  EXPECT_EQ(pool.Layout().chunk_bytes, kPageTokens * 2 * (2 * (64 + 64) + (128 + 64) + 48));
}

TEST(LayerShapeNameTest, CountsRunsOfEqualLayers) {
  EXPECT_EQ(ShapeName(AlikeLayers(24, 2, 64)), "24 layers of 2 KV heads of size 64");
  EXPECT_EQ(ShapeName(kShapes),
            "1 layer of 2 KV heads of size 64, 1 layer of 1 KV head of size 128 with values of size 64, "
            "1 layer of 1 KV head of size 80 with values in its first 64 elements, "
            "1 layer of 3 KV heads of size 24 with values of size 40, "
            "1 layer of 1 KV head of size 48 with values in its first 8 elements");
  EXPECT_TRUE(AreAlike(AlikeLayers(3, 1, 64)));
  for (const LayerShape& shape : {kShapes[1], kShapes[2]}) EXPECT_FALSE(AreAlike({&shape, 1}));
}

TEST(LayerShapeTest, RefusesWhatCannotBe) {
  const auto refusal = [](LayerShape shape) {
    return MessageOf([&] { MakeLayout(CodecFlags{}, {&shape, 1}); });
  };
  EXPECT_THAT(refusal({0, 64, 64}), testing::HasSubstr("0 KV heads in a layer (1 to 1024 are allowed)"));
  EXPECT_THAT(refusal({1, 584, 64}),
              testing::HasSubstr("head size 584 must be a multiple of 8, from 8 to 576"));
  EXPECT_THAT(refusal({1, 64, 20}), testing::HasSubstr("head size 20 must be"));
  EXPECT_THAT(refusal({1, 64, 72, true}),
              testing::HasSubstr("values of 72 elements cannot be in keys of 64"));
}

TEST(LayerShapeCodecsTest, CodecsOfValuesAreForValuesThatAreStored) {
  const LayerShape& latent = kShapes[2];
  EXPECT_EQ(LayersOf({.kv = "int8"}, kShapes)[2], (LayerCodecs{"int8", ""}));
  EXPECT_EQ(LayersOf({.kv = "int8", .v = "f16"}, kShapes)[1], (LayerCodecs{"int8", "f16"}));
  EXPECT_THAT(MessageOf([&] {
                LayersOf({.kv = "int8", .v = "f16"}, {&latent, 1});
              }),
              testing::HasSubstr("KV codec f16 of values: this model's values are in its keys"));
  EXPECT_EQ(LayoutName(MakeLayout({.kv = "int8"}, {&latent, 1})), "int8");
  EXPECT_EQ(LayoutName(MakeLayout({.kv = "int8", .v = "f16"}, kShapes)), "int8+f16");
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "int8:bias=mean"}, kShapes); }),
              testing::HasSubstr("bias=mean is for keys alone, but this model's keys are its values too"));
}

}  // namespace
}  // namespace throng::kv
