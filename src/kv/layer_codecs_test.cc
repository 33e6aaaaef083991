#include "kv/layer_codecs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "kv/open_codec.h"
#include "kv/testing/message_of.h"

namespace throng::kv {
namespace {

TEST(MakeLayoutTest, PagesDoNotOverlapAndAreAligned) {
  const BlockLayout layout = MakeLayout({.kv = "f16", .k = "int8"}, AlikeLayers(3, 2, 80));
  size_t end = 0;
  size_t open_end = 0;
  for (const PageSpec& page : layout.pages) {
    EXPECT_EQ(page.keys->Name(), "int8");
    EXPECT_EQ(page.values->Name(), "f16");
    for (const size_t offset :
         {page.keys_offset, page.values_offset, page.open_keys_offset, page.open_values_offset}) {
      EXPECT_EQ(offset % 64, 0u);
    }
    EXPECT_GE(page.keys_offset, end);
    EXPECT_GE(page.values_offset, page.keys_offset + page.keys->Bytes(Part::kKeys));
    end = page.values_offset + page.values->Bytes(Part::kValues);
    EXPECT_GE(page.open_keys_offset, open_end);
    open_end = page.open_values_offset + page.open_values->Bytes(Part::kValues);
  }
  EXPECT_GE(layout.bytes, end);
  EXPECT_GE(layout.open_bytes, open_end);
  EXPECT_EQ(layout.bytes, 6u * (64 * 80 + 256 + 64 * 80 * 2));
}

TEST(MakeLayoutTest, LayersAndHeadsMayDiffer) {
  const CodecPair wide{ParseCodec("f32", 32), ParseCodec("f32", 32)};
  const CodecPair narrow{ParseCodec("int8", 32), ParseCodec("f16", 32)};
  const BlockLayout layout = MakeLayout(
      [&](int layer, int head) { return layer == 1 && head == 0 ? wide : narrow; }, AlikeLayers(2, 2, 32));
  EXPECT_EQ(layout.At(1, 0).keys, wide.keys.get());
  EXPECT_EQ(layout.At(1, 0).open_keys->Open(), OpenType::kF32);
  EXPECT_EQ(layout.At(1, 1).keys, narrow.keys.get());
  EXPECT_EQ(layout.At(1, 1).open_keys->Open(), OpenType::kF16);
  EXPECT_EQ(layout.bytes, 2u * 64 * 32 * 4 + 3 * (64 * 32 + 256 + 64 * 32 * 2));
  EXPECT_EQ(layout.open_bytes, 2u * 64 * 32 * 4 + 3 * (2 * 64 * 32 * 2));
}

// Names of the heads' codecs of one layer.
std::vector<std::string> HeadNames(const BlockLayout& layout, int layer, Part part) {
  std::vector<std::string> names;
  for (int head = 0; head < layout.layers.front().num_kv_heads; ++head) {
    const PageSpec& page = layout.At(layer, head);
    names.push_back((part == Part::kKeys ? page.keys : page.values)->Name());
  }
  return names;
}

TEST(MakeLayoutTest, FlashqMixedNamesTheBitsOfEachHead) {
  const std::vector<LayerCodecs> layers = {{"flashq-mixed:bits=2442", "int8"},
                                           {"rot4", "flashq-mixed:bits=42"}};
  const BlockLayout layout = MakeLayout(layers, AlikeLayers(2, 4, 64));
  EXPECT_THAT(HeadNames(layout, 0, Part::kKeys),
              testing::ElementsAre("flashq2", "flashq4", "flashq4", "flashq2"));
  EXPECT_THAT(HeadNames(layout, 0, Part::kValues), testing::Each("int8"));
  EXPECT_THAT(HeadNames(layout, 1, Part::kKeys), testing::Each("rot4"));
  EXPECT_THAT(HeadNames(layout, 1, Part::kValues),
              testing::ElementsAre("flashq4", "flashq2", "flashq4", "flashq2"));
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "flashq-mixed"}, AlikeLayers(2, 4, 64)); }),
              testing::HasSubstr("bits=24"));
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "flashq-mixed:bits=25"}, AlikeLayers(2, 4, 64)); }),
              testing::HasSubstr("digits of \"24\""));
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "flashq-mixed:bits=24,buffer=f8"}, AlikeLayers(2, 4, 64)); }),
              testing::HasSubstr("buffer=f8 must be one of f16, int8"));
  EXPECT_EQ(
      MakeLayout({.kv = "flashq-mixed:bits=24,buffer=int8"}, AlikeLayers(1, 2, 64)).At(0, 1).keys->Name(),
      "flashq4:buffer=int8");
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "flashq-mixed:heads=3"}, AlikeLayers(2, 4, 64)); }),
              testing::HasSubstr("unknown parameter heads"));
}

TEST(MakeLayoutTest, EachHeadMayHaveItsCodec) {
  const std::vector<LayerCodecs> layers = {{"rot4/gear2:r=1,s=1%/rot4/int8", "kivi2"},
                                           {"rot4", "kivi2/rot2"}};
  const BlockLayout layout = MakeLayout(layers, AlikeLayers(2, 4, 64));
  EXPECT_THAT(HeadNames(layout, 0, Part::kKeys), testing::ElementsAre("rot4", "gear2:r=1", "rot4", "int8"));
  EXPECT_THAT(HeadNames(layout, 0, Part::kValues), testing::Each("kivi2"));
  EXPECT_THAT(HeadNames(layout, 1, Part::kValues), testing::ElementsAre("kivi2", "rot2", "kivi2", "rot2"));
  EXPECT_EQ(layout.At(0, 0).keys, layout.At(0, 2).keys);
  const auto message = [](const char* spec) {
    return MessageOf([&] { MakeLayout({.kv = spec}, AlikeLayers(2, 4, 64)); });
  };
  EXPECT_THAT(message("rot4/zip9"), testing::HasSubstr("unknown KV codec \"zip9\""));
  EXPECT_THAT(message("rot4/"), testing::HasSubstr("unknown KV codec \"\""));
  EXPECT_THAT(message("rot4/flashq-mixed:bits=24"), testing::HasSubstr("name flashq2 or flashq4"));
  EXPECT_THAT(message("rot4:sink=64/rot2"), testing::HasSubstr("sink= must be the same for all heads"));
  EXPECT_THAT(message("rot4/rot2:bias=off"), testing::HasSubstr("bias= must be the same for all heads"));
}

TEST(MakeLayoutTest, ParametersOfAllHeadsAreTakenOutOfEach) {
  const std::string spec =
      WithKeyBias(WithWindow("rot4/gear2:r=1", {.sink_blocks = 1, .recent_blocks = 2}), KeyBias::kNone);
  EXPECT_EQ(spec, "rot4:sink=64,recent=128,bias=off/gear2:r=1,sink=64,recent=128,bias=off");
  EXPECT_EQ(SplitKeyBias(spec).bias, KeyBias::kNone);
  const WindowSpec window = SplitWindow(SplitKeyBias(spec).codec);
  EXPECT_EQ(window.codec, "rot4/gear2:r=1");
  EXPECT_EQ(window.window, (FineWindow{.sink_blocks = 1, .recent_blocks = 2}));
  EXPECT_EQ(WithWindow("rot4", {}), "rot4");
}

// The pool takes from its budget exactly the bytes that the codecs' formulas give, page by page.
TEST(MakeLayoutTest, TheLedgerIsTheSumOfTheCodecsFormulas) {
  const std::vector<LayerCodecs> layers = {
      {"gear4", "rot2"}, {"flashq-mixed:bits=24", "kivi2:g=32"}, {"f32", "gear2:r=2,s=1%"}};
  BlockPool pool(MakeLayout(layers, AlikeLayers(3, 4, 80)), size_t{1} << 24);
  LedgerBytes sum;
  size_t rounded = 0;
  for (const LayerCodecs& layer : layers) {
    const auto keys = ParseHeadCodecs(layer.k, 4, 80), values = ParseHeadCodecs(layer.v, 4, 80);
    for (size_t head = 0; head < 4; ++head) {
      for (const ByteCounts& counts : {keys[head]->Count(Part::kKeys), values[head]->Count(Part::kValues)}) {
        sum.codes += counts.codes;
        sum.scales += counts.scales;
        sum.low_rank += counts.low_rank;
        sum.sparse += counts.sparse;
        rounded += RoundUp64(counts.Total());
      }
    }
  }
  EXPECT_EQ(pool.Layout().bytes, rounded);
  const auto first = pool.TryAllocateSealed(), second = pool.TryAllocateSealed();
  const LedgerBytes held = pool.GetLedger().held;
  EXPECT_EQ(held.codes, 2 * sum.codes);
  EXPECT_EQ(held.scales, 2 * sum.scales);
  EXPECT_EQ(held.low_rank, 2 * sum.low_rank);
  EXPECT_EQ(held.sparse, 2 * sum.sparse);
  EXPECT_EQ(held.Total(), 2 * pool.SealedBytes());
  EXPECT_EQ(held.Total(), pool.HeldBytes());
  EXPECT_LT(pool.SealedBytes(), rounded + 4096);
}

TEST(KeyBiasChoiceTest, IsTakenOutOfTheSpecification) {
  const auto expect = [](const char* spec, const char* codec, KeyBias bias) {
    const KeySpec keys = SplitKeyBias(spec);
    EXPECT_EQ(keys.codec, codec);
    EXPECT_EQ(keys.bias, bias);
    EXPECT_EQ(SplitKeyBias(WithKeyBias(codec, bias)).codec, codec);
    EXPECT_EQ(SplitKeyBias(WithKeyBias(codec, bias)).bias, bias);
  };
  expect("rot4", "rot4", KeyBias::kModel);
  expect("rot4:bias=off", "rot4", KeyBias::kNone);
  expect("gear2:r=4,bias=mean,s=2%", "gear2:r=4,s=2%", KeyBias::kMean);
  expect("gear2:bias=model,r=4", "gear2:r=4", KeyBias::kModel);
  EXPECT_THAT(MessageOf([] { SplitKeyBias("rot4:bias=all"); }),
              testing::HasSubstr("codec rot4: bias=all must be model, mean or off"));
  EXPECT_THAT(MessageOf([] { SplitKeyBias("rot4:bias=off,bias=off"); }), testing::HasSubstr("given twice"));
}

TEST(KeyBiasChoiceTest, IsOfTheKeysOfAllLayers) {
  EXPECT_EQ(MakeLayout({.kv = "rot4:bias=off"}, AlikeLayers(2, 1, 64)).key_bias, KeyBias::kNone);
  EXPECT_EQ(MakeLayout({.kv = "flashq-mixed:bias=off,bits=24"}, AlikeLayers(2, 2, 64)).At(0, 1).keys->Name(),
            "flashq4");
  EXPECT_EQ(MakeLayout({.kv = "f16", .k = "int8:bias=off"}, AlikeLayers(2, 1, 64)).key_bias, KeyBias::kNone);
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "f16", .v = "int8:bias=off"}, AlikeLayers(2, 1, 64)); }),
              testing::HasSubstr("codec int8:bias=off of values: bias= is for keys"));
  const std::vector<LayerCodecs> layers = {{"f16", "f16"}, {"f16:bias=off", "f16"}};
  EXPECT_THAT(MessageOf([&] { MakeLayout(layers, AlikeLayers(2, 1, 64)); }),
              testing::HasSubstr("KV codecs f16 and f16:bias=off: bias= must be the same in all layers"));
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "f16:bias=mean"}, AlikeLayers(2, 1, 64)); }),
              testing::HasSubstr("bias=mean needs the means"));
}

TEST(KeyBiasChoiceTest, IsPartOfTheLayoutsName) {
  BlockLayout layout = MakeLayout({.kv = "rot4"}, AlikeLayers(2, 1, 64));
  EXPECT_EQ(LayoutName(layout), "rot4");
  layout.key_bias = KeyBias::kNone;
  EXPECT_EQ(LayoutName(layout), "rot4, keys with bias");
  layout.key_bias = KeyBias::kMean;
  KeyMeans means(2, std::vector<float>(64));
  layout.key_means = std::make_shared<KeyMeans>(means);
  const std::string name = LayoutName(layout);
  EXPECT_TRUE(name.starts_with("rot4, keys without mean "));
  means[1][3] = 1.0f;
  layout.key_means = std::make_shared<KeyMeans>(means);
  EXPECT_NE(LayoutName(layout), name);
}

TEST(FineWindowChoiceTest, IsTakenOutOfTheSpecification) {
  const auto expect = [](const char* spec, const char* codec, FineWindow window) {
    EXPECT_EQ(SplitWindow(spec).codec, codec);
    EXPECT_EQ(SplitWindow(spec).window, window);
  };
  expect("gear2", "gear2", {});
  expect("gear2:sink=64", "gear2", {.sink_blocks = 1});
  expect("gear2:r=4,sink=128,s=2%,recent=256", "gear2:r=4,s=2%", {.sink_blocks = 2, .recent_blocks = 4});
  for (const char* value : {"", "0", "-64", "100", "64x", "1e3", "1048640", "99999999999"}) {
    EXPECT_THAT(
        MessageOf([&] { SplitWindow("gear2:recent=" + std::string(value)); }),
        testing::HasSubstr("codec gear2: recent=" + std::string(value) +
                           " must be a number of tokens that is a multiple of 64, from 64 to 1048576"));
  }
  EXPECT_THAT(MessageOf([] { SplitWindow("gear2:sink=64,sink=64"); }), testing::HasSubstr("given twice"));
}

TEST(FineWindowChoiceTest, IsOfKeysAndValuesOfAllLayers) {
  const BlockLayout layout =
      MakeLayout({.kv = "flashq-mixed:bits=24,sink=64,bias=off"}, AlikeLayers(2, 2, 64));
  EXPECT_EQ(layout.window, FineWindow{.sink_blocks = 1});
  EXPECT_EQ(layout.At(1, 1).fine_keys->Name(), "int8");
  EXPECT_EQ(layout.fine_bytes, 2u * 2 * 2 * (64 * 64 + 64 * 4));
  EXPECT_EQ(MakeLayout({.k = "kivi4:recent=64", .v = "kivi2:recent=64"}, AlikeLayers(2, 1, 64))
                .window.recent_blocks,
            1);
  EXPECT_THAT(MessageOf([] { MakeLayout({.kv = "kivi2", .k = "kivi4:recent=64"}, AlikeLayers(2, 1, 64)); }),
              testing::HasSubstr("KV codecs kivi4:recent=64 and kivi2: sink= and recent= must be the same"));
  const std::vector<LayerCodecs> layers = {{"rot2", "rot2"}, {"rot2:sink=64", "rot2:sink=64"}};
  EXPECT_THAT(MessageOf([&] { MakeLayout(layers, AlikeLayers(2, 1, 64)); }),
              testing::HasSubstr("must be the same"));
}

TEST(FineWindowChoiceTest, RefusesCodecsThatGainNothingAndSinksWithoutAScale) {
  for (const char* codec : {"f32", "f16", "int8", "fp8"}) {
    EXPECT_THAT(
        MessageOf([&] { MakeLayout({.kv = std::string(codec) + ":recent=64"}, AlikeLayers(1, 1, 64)); }),
        testing::HasSubstr("codec " + std::string(codec) + ": sink= and recent= keep some pages in int8"));
  }
  EXPECT_THAT(
      MessageOf([] { MakeLayout({.kv = "flashq4:buffer=int8,sink=64"}, AlikeLayers(1, 1, 64)); }),
      testing::HasSubstr("buffer=int8 takes its scale from the page before, which sinks do not have"));
}

// Pages that are no smaller than int8's stay as they are, beside others that are.
TEST(FineWindowChoiceTest, LeavesLargerPagesAsTheyAre) {
  const std::vector<LayerCodecs> layers = {{"f16:sink=64", "int8:sink=64"},
                                           {"fp8:sink=64/rot4:sink=64", "kivi2:sink=64"}};
  const BlockLayout layout = MakeLayout(layers, AlikeLayers(2, 2, 64));
  EXPECT_EQ(layout.At(0, 1).fine_keys, layout.At(0, 1).keys);
  EXPECT_EQ(layout.At(0, 1).fine_values->Name(), "int8");
  EXPECT_EQ(layout.At(1, 0).fine_keys->Name(), "fp8");
  EXPECT_EQ(layout.At(1, 1).fine_keys->Name(), "int8");
  EXPECT_EQ(layout.At(1, 0).fine_values->Name(), "int8");
}

TEST(FineWindowChoiceTest, IsPartOfTheLayoutsName) {
  EXPECT_EQ(LayoutName(MakeLayout({.kv = "rot4:sink=64,recent=256"}, AlikeLayers(2, 1, 64))),
            "rot4, sink=64, recent=256");
  EXPECT_EQ(LayoutName(MakeLayout({.kv = "rot4:recent=64,bias=off"}, AlikeLayers(2, 1, 64))),
            "rot4, recent=64, keys with bias");
}

TEST(MakeLayoutTest, RefusesAbsurdNumbers) {
  EXPECT_THROW(MakeLayout(CodecFlags{}, AlikeLayers(0, 1, 64)), Error);
  EXPECT_THROW(MakeLayout(CodecFlags{}, AlikeLayers(1, 1 << 30, 64)), Error);
  EXPECT_THROW(MakeLayout(CodecFlags{.kv = "f64"}, AlikeLayers(1, 1, 64)), Error);
}

}  // namespace
}  // namespace throng::kv
