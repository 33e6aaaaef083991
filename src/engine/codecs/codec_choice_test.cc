#include "engine/codecs/codec_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

using testing::HasSubstr;

model::ModelConfig TwoLayers() {
  model::ModelConfig config{};
  config.cache_layers = kv::AlikeLayers(2, 2, 64);
  config.context_length = 512;
  config.vocab_size = 10;
  return config;
}

const Digest kModel = {0x0123456789abcdef, 0xfedcba9876543210};

CodecChoice MakeChoice() {
  CodecChoice choice;
  choice.layers = {{"gear4:r=2,s=1%", "rot2"}, {"flashq-mixed:bits=24", "kivi2"}};
  choice.priorities = {{{0.1, 1e300}, {3, 4}}, {{5, 6.5}, {1.0 / 3.0, 8}}};
  choice.text = {1, 2};
  choice.softmax = kv::SoftmaxKind::kSas;
  choice.target = {0.01, 0.1};
  choice.kl = {0.1 / 3.0, 0.2};
  choice.held_out = {0.2 / 3.0, 0.7 / 3.0};
  return choice;
}

template <typename F>
std::string MessageOf(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(CodecChoiceTest, AFileBringsBackWhatWasWritten) {
  const CodecChoice choice = MakeChoice();
  const std::string text = WriteChoice(choice, kModel, TwoLayers());
  const CodecChoice read = ReadChoice(text, "c.json", kModel, TwoLayers());
  EXPECT_EQ(read.softmax, choice.softmax);
  EXPECT_EQ(read.layers, choice.layers);
  EXPECT_EQ(read.priorities, choice.priorities);
  EXPECT_EQ(read.text, choice.text);
  EXPECT_EQ(read.target, choice.target);
  EXPECT_EQ(read.kl, choice.kl);
  EXPECT_EQ(read.held_out, choice.held_out);
  EXPECT_EQ(WriteChoice(read, kModel, TwoLayers()), text);
  const nlohmann::json json = nlohmann::json::parse(text);
  const kv::BlockPool pool(choice.Layout(TwoLayers()), 0);
  EXPECT_EQ(json["bytes_per_token"].get<double>(), static_cast<double>(pool.SealedBytes()) / 64.0);
  EXPECT_NEAR(json["ratio_to_f16"].get<double>(),
              4.0 * 2 * 2 * 64 * 64 / static_cast<double>(pool.SealedBytes()), 1e-3);
}

TEST(CodecChoiceTest, HeadsMayDifferAndPagesMayBeFiner) {
  CodecChoice choice = MakeChoice();
  choice.layers = {{"rot4:sink=64/kivi2:sink=64", "rot2:sink=64"},
                   {"int8:sink=64", "kivi3:sink=64/rot3:sink=64"}};
  choice.priorities = {};
  const std::string text = WriteChoice(choice, kModel, TwoLayers());
  const CodecChoice read = ReadChoice(text, "c.json", kModel, TwoLayers());
  EXPECT_EQ(read.layers, choice.layers);
  EXPECT_EQ(WriteChoice(read, kModel, TwoLayers()), text);
  nlohmann::json json = nlohmann::json::parse(text);
  EXPECT_EQ(json["window_bytes"].get<size_t>(), WindowBytes(choice.Layout(TwoLayers())));
  json["window_bytes"] = 1;
  EXPECT_THAT(MessageOf([&] { ReadChoice(json.dump(), "c.json", kModel, TwoLayers()); }),
              HasSubstr("\"window_bytes\" is 1, expected"));
}

// Written before there were codecs per head and held-out texts.
TEST(CodecChoiceTest, FilesOfVersion1AreRead) {
  const std::string text = R"({"format": "throng-kv-choice", "version": 1,
      "model": "0123456789abcdeffedcba9876543210", "text": "00000000000000010000000000000002", "softmax": "exact",
      "kl_target": 0.01, "kl": 0.009, "layers": [{"k": "int8", "v": "rot4"}, {"k": "f16", "v": "f16"}]})";
  const CodecChoice read = ReadChoice(text, "c.json", kModel, TwoLayers());
  EXPECT_EQ(read.target, (KlFigures{0.01, 0}));
  EXPECT_EQ(read.kl, (KlFigures{0.009, 0}));
  EXPECT_EQ(read.held_out, KlFigures{});
}

TEST(CodecChoiceTest, MeansOfKeysAreKept) {
  CodecChoice choice = MakeChoice();
  for (kv::LayerCodecs& layer : choice.layers) layer.k += layer.k.find(':') == std::string::npos ? ":" : ",";
  for (kv::LayerCodecs& layer : choice.layers) layer.k += "bias=mean";
  kv::KeyMeans means(2, std::vector<float>(128));
  means[0][0] = 0.1f;
  means[1][127] = -1e-7f / 3;
  choice.key_means = std::make_shared<kv::KeyMeans>(means);
  const std::string text = WriteChoice(choice, kModel, TwoLayers());
  const CodecChoice read = ReadChoice(text, "c.json", kModel, TwoLayers());
  ASSERT_NE(read.key_means, nullptr);
  EXPECT_EQ(*read.key_means, means);
  EXPECT_EQ(read.Layout(TwoLayers()).key_bias, kv::KeyBias::kMean);
  const auto message = [&](const nlohmann::json& value) {
    nlohmann::json json = nlohmann::json::parse(text);
    json["key_means"] = value;
    if (value.is_null()) json.erase("key_means");
    return MessageOf([&] { ReadChoice(json.dump(), "c.json", kModel, TwoLayers()); });
  };
  EXPECT_THAT(message(nullptr), HasSubstr("bias=mean needs the means"));
  using nlohmann::json;
  for (const char* bad : {"7", "[[]]", "[[],7]", "[[],[7]]", "[[],[[1,2,3]]]", "[[],[[128,1]]]",
                          "[[],[[-1,1]]]", "[[],[[1.5,1]]]", "[[],[[1,\"x\"]]]", "[[],[[1,1e39]]]"}) {
    EXPECT_THAT(message(json::parse(bad)), HasSubstr("expected 2 arrays of [element below 128, finite mean]"))
        << bad;
  }
}

TEST(CodecChoiceTest, OnlyFormatVersionModelAndLayersMustBeThere) {
  const std::string text = R"({"format": "throng-kv-choice", "version": 1,
      "model": "0123456789abcdeffedcba9876543210", "layers": [{"k": "int8", "v": "rot4"}, {"k": "f16", "v": "f16"}]})";
  const CodecChoice read = ReadChoice(text, "c.json", kModel, TwoLayers());
  EXPECT_EQ(read.layers[0], (kv::LayerCodecs{"int8", "rot4"}));
}

TEST(CodecChoiceTest, WhatIsWrongIsSaid) {
  const auto json = nlohmann::json::parse(WriteChoice(MakeChoice(), kModel, TwoLayers()));
  const auto message = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json changed = json;
    if (value.is_discarded()) {
      changed.erase(std::string(pointer + 1));
    } else {
      changed[nlohmann::json::json_pointer(pointer)] = value;
    }
    return MessageOf([&] { ReadChoice(changed.dump(), "c.json", kModel, TwoLayers()); });
  };
  const nlohmann::json missing(nlohmann::json::value_t::discarded);
  struct Case {
    const char* pointer;
    nlohmann::json value;
    const char* expected;
  };
  const std::vector<Case> cases = {
      {"/format", "other", "c.json: \"format\" is \"other\", expected \"throng-kv-choice\""},
      {"/version", 3, "\"version\" is 3, expected 1 or 2"},
      {"/model", "xyz", "\"model\" is \"xyz\", expected a digest of 32"},
      {"/model", std::string(32, '0'),
       "made for the model 00000000000000000000000000000000, this one is 0123"},
      {"/model", missing, "\"model\" is missing"},
      {"/layers", nlohmann::json::array(), "names the codecs of 0 layers, the model has 2"},
      {"/layers", "int8", "\"layers\" is \"int8\", expected an array"},
      {"/layers", missing, "\"layers\" is missing"},
      {"/layers/1", 3, "c.json: layer 1: found 3, expected a JSON object"},
      {"/layers/1", {{"k", "int8"}}, "c.json: layer 1: \"v\" is missing"},
      {"/layers/1/k", "zip9", "c.json: layer 1: k: unknown KV codec \"zip9\" (allowed: f32"},
      {"/layers/0/v", "gear2:x=1", "c.json: layer 0: v: codec gear2: unknown parameter x"},
      {"/layers/0/v", "auto", "c.json: layer 0: v: unknown KV codec \"auto\""},
      {"/layers/0/v", "flashq-mixed", "c.json: layer 0: v: codec flashq-mixed: without a model"},
      {"/layers/0/v", 4, "c.json: layer 0: \"v\" is 4, expected a string"},
      {"/layers/0/q", "int8", "c.json: layer 0: unknown member \"q\" (allowed: k, v)"},
      {"/bytes_per_token", 5, "\"bytes_per_token\" is 5, expected"},
      {"/bytes_per_token", "many", "\"bytes_per_token\" is \"many\", expected"},
      {"/softmax", "hard", "\"softmax\" is \"hard\", expected \"exact\" or \"sas\""},
      {"/kl", -1, "\"kl\" is -1, expected a number of at least 0"},
      {"/head_priorities/k",
       {1, 2},
       "head_priorities: \"k\" is 1, expected 2 arrays of numbers, one for each head: 2 in layer 0"},
      {"/head_priorities/v",
       {{1, 2}},
       "head_priorities: \"v\" is [[1,2]], expected 2 arrays of numbers, one for each head"},
      {"/head_priorities", 7, "head_priorities: found 7, expected a JSON object"},
      {"/colour", "red", "c.json: unknown member \"colour\" (allowed: format, version, model"},
  };
  for (const Case& c : cases) EXPECT_THAT(message(c.pointer, c.value), HasSubstr(c.expected)) << c.pointer;
  for (const char* text : {"", "{", "\xff\xfe", "[1,2", "nonsense"}) {
    EXPECT_EQ(MessageOf([&] { ReadChoice(text, "c.json", kModel, TwoLayers()); }),
              "c.json: it is not JSON, expected a choice of KV codecs");
  }
  EXPECT_THAT(MessageOf([&] { ReadChoice("[]", "c.json", kModel, TwoLayers()); }),
              HasSubstr("c.json: found [], expected a JSON object"));
}

// A model that must not be run.
class Still : public model::Transformer {
 public:
  const model::ModelConfig& Config() const override { return config_; }
  Digest WeightsDigest() const override {
    ++digests;
    return kModel;
  }
  void Forward(std::span<const model::BatchItem>, ThreadPool&, float*) override { FAIL(); }

  mutable int digests = 0;  // that were asked for

 private:
  const model::ModelConfig config_ = TwoLayers();
};

class ChooseCodecsTest : public testing::Test {
 protected:
  CodecChoice Choose(const CodecOptions& options) {
    return ChooseCodecs(
        options, still_, [](std::string_view) { return std::vector<int32_t>(); }, threads_);
  }
  std::string Refusal(const CodecOptions& options) {
    return MessageOf([&] { Choose(options); });
  }
  std::string Path(const char* name) { return testing::TempDir() + "/" + name; }

  Still still_;
  ThreadPool threads_{1};
};

TEST_F(ChooseCodecsTest, FlagsThatSayItAllNeedNoModel) {
  CodecOptions options;
  options.flags = {.kv = "gear2", .k = "flashq-mixed:bits=24", .v = ""};
  EXPECT_TRUE(IsPlain(options.flags));
  EXPECT_EQ(Choose(options).layers, std::vector<kv::LayerCodecs>(2, {"flashq-mixed:bits=24", "gear2"}));
  EXPECT_EQ(still_.digests, 0);  // which would read all weights
}

TEST_F(ChooseCodecsTest, WhatOneCallWritesAnotherReads) {
  CodecOptions options;
  options.flags = {.kv = "rot4", .k = "int8", .v = ""};
  options.out = Path("choice_out.json");
  const CodecChoice written = Choose(options);
  CodecOptions again;
  again.flags.kv = options.out;
  EXPECT_FALSE(IsPlain(again.flags));
  EXPECT_EQ(Choose(again).layers, written.layers);
  CodecOptions stored;
  stored.stored = ReadFile(options.out);
  stored.stored_in = "journal x";
  EXPECT_EQ(Choose(stored).layers, written.layers);
  stored.stored = "{}";
  EXPECT_THAT(Refusal(stored), HasSubstr("journal x: \"format\" is missing"));
}

// This includes files from before the softmax was stored, which were found with the exact one.
TEST_F(ChooseCodecsTest, CodecsFoundWithAnotherSoftmaxAreRefused) {
  CodecOptions options;
  options.flags.kv = Path("softmax.json");
  CodecChoice choice = MakeChoice();
  std::ofstream(options.flags.kv) << WriteChoice(choice, kModel, TwoLayers());
  EXPECT_THAT(Refusal(options),
              HasSubstr("softmax.json: its codecs were found with the softmax sas, this run has exact"));
  options.softmax = kv::SoftmaxKind::kSas;
  EXPECT_EQ(Choose(options).layers, choice.layers);
  auto old = nlohmann::json::parse(WriteChoice(choice, kModel, TwoLayers()));
  old.erase("softmax");
  std::ofstream(options.flags.kv) << old;
  EXPECT_THAT(Refusal(options), HasSubstr("found with the softmax exact, this run has sas"));
  options.softmax = kv::SoftmaxKind::kExact;
  EXPECT_EQ(Choose(options).layers, choice.layers);
  // A resumed run keeps its codecs.
  CodecOptions stored;
  stored.softmax = kv::SoftmaxKind::kSas;
  stored.stored = old.dump();
  EXPECT_EQ(Choose(stored).layers, choice.layers);
}

TEST_F(ChooseCodecsTest, RefusesWhatMakesNoSense) {
  const auto flags = [](const char* kv, const char* k = "", const char* v = "") {
    CodecOptions options;
    options.flags = {.kv = kv, .k = k, .v = v};
    return options;
  };
  EXPECT_THAT(Refusal(flags("f16", "auto")), HasSubstr("can be given as --kv alone"));
  EXPECT_THAT(Refusal(flags("f16", "", "x.json")), HasSubstr("can be given as --kv alone"));
  EXPECT_THAT(Refusal(flags("auto", "int8")), HasSubstr("--k and --v cannot be given"));
  EXPECT_THAT(Refusal(flags("x.json", "", "int8")), HasSubstr("--k and --v cannot be given"));
  EXPECT_THAT(Refusal(flags("auto:kl=0")), HasSubstr("kl=0 must be a number from 1e-06 to 10"));
  EXPECT_THAT(Refusal(flags("auto:kl=nan")), HasSubstr("kl=nan must be"));
  EXPECT_THAT(Refusal(flags("auto:p99=0")), HasSubstr("p99=0 must be a number from 1e-06 to 100"));
  EXPECT_THAT(Refusal(flags("auto:sink=65")),
              HasSubstr("sink=65 must be a number of tokens that is a multiple"));
  EXPECT_THAT(Refusal(flags("auto:bits=2")), HasSubstr("unknown parameter bits (allowed: kl, p99)"));
  EXPECT_THAT(Refusal(flags("none.json")), HasSubstr("none.json"));
  const std::string unknown = Refusal(flags("automatic"));
  EXPECT_THAT(unknown, HasSubstr("unknown KV codec \"automatic\""));
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    EXPECT_THAT(unknown, HasSubstr(std::string(entry.name)));
  }
  for (const char* other :
       {"flashq-mixed", "rot4/kivi2", "bias=", "sink=", "recent=", "also auto", "--kv-out"}) {
    EXPECT_THAT(unknown, HasSubstr(other));
  }
  EXPECT_THAT(Refusal(flags("flashq-mixed")), HasSubstr("the text 0"));
  EXPECT_THAT(Refusal(flags("rot5:bias=mean")), HasSubstr("unknown KV codec \"rot5\""));
  EXPECT_THAT(Refusal(flags("rot4:bias=all")), HasSubstr("codec rot4: bias=all must be model, mean or off"));
  EXPECT_THAT(Refusal(flags("f16", "", "rot4:bias=off")), HasSubstr("of values: bias= is for keys"));
  CodecOptions text = flags("int8");
  text.calibration = "a.txt";
  EXPECT_THAT(Refusal(text), HasSubstr("only --kv auto, flashq-mixed and bias=mean read a text"));
  CodecOptions folder = flags("int8");
  folder.out = Path("no/such/folder.json");
  EXPECT_THAT(Refusal(folder), HasSubstr("no/such/folder.json"));
  std::ofstream(Path("large.json")) << std::string(5 << 20, ' ');
  EXPECT_THAT(Refusal(flags(Path("large.json").c_str())), HasSubstr("at most 4194304 are read"));
}

}  // namespace
}  // namespace throng::engine
