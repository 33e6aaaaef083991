#include "engine/local_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "engine/testing/fake_model.h"
#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

LocalModel MakeFake(LocalOptions options = {}, std::string_view chat_template = "") {
  options.kv = "f32";
  if (options.kv_budget_bytes == 0) options.kv_budget_bytes = 16 << 20;
  return LocalModel(options, FakeModel(chat_template));
}

TEST(LocalModel, RefusesOptionsThatCannotWork) {
  EXPECT_THROW(MakeFake({.kv_budget_bytes = 100}), Error);
  EXPECT_THROW(MakeFake({.max_batch = 0}), Error);
  EXPECT_THROW(MakeFake({.softmax = "soft"}), Error);
  EXPECT_THROW(MakeFake({.lookup = "on"}), Error);
  EXPECT_THROW(LocalModel({.model = "/nonexistent.gguf"}), Error);
}

TEST(LocalModel, WithoutANameOfItsOwnHasItsFiles) {
  for (const auto& [path, name] : {std::pair("/x/some-model.Q8_0.gguf", "some-model.Q8_0"),
                                   {"m-00002-of-00013.gguf", "m"},
                                   {"-00002-of-00013.gguf", "-00002-of-00013"},
                                   {"m-0002-of-00013.gguf", "m-0002-of-00013"},
                                   {"/x/Qwen3-0.6B", "Qwen3-0.6B"}}) {
    EXPECT_EQ(MakeFake({.model = path}).Name(), name);
  }
}

TEST(LocalModel, FramesChatsByTheTemplate) {
  const LocalModel model = MakeFake({}, kChatMl);
  const std::string text = model.Loaded().tokenizer->Decode(model.Encode(ChatOf("Be brief.", "Hi")));
  EXPECT_NE(text.find("system\nBe brief."), std::string::npos) << text;
  EXPECT_EQ(model.Loaded().tokenizer->Decode(model.Encode("Hi")), "Hi");
  EXPECT_NE(model.Identity().find("template=" + model::ChatTemplate(kChatMl).Name()), std::string::npos)
      << model.Identity();
  EXPECT_NE(MakeFake().Identity().find("template=plain"), std::string::npos) << MakeFake().Identity();
  EXPECT_NE(model.Identity().find("kv=f32"), std::string::npos) << model.Identity();
}

TEST(LocalModel, MakesRequestsOfTextsChatsAndTokens) {
  LocalModel model = MakeFake({.max_context = 100});
  const EngineRequest text = model.MakeRequest({.prompt = "Hi", .stop = {"."}});
  EXPECT_EQ(text.prompt, (std::vector<int32_t>{1, 3 + 'H', 3 + 'i'}));
  EXPECT_EQ(text.max_tokens, 97);  // what the context leaves
  EXPECT_EQ(text.stop, std::vector<std::string>{"."});
  EXPECT_EQ(text.constraint, nullptr);
  const EngineRequest tokens = model.MakeRequest(
      {.prompt = text.prompt, .max_tokens = 7, .constraint = {.choices = {"a"}, .json_schema = ""}});
  EXPECT_EQ(tokens.prompt, text.prompt);
  EXPECT_EQ(tokens.max_tokens, 2);  // no more than the longest choice can have, and its end
  EXPECT_NE(tokens.constraint, nullptr);
  EXPECT_EQ(model.MakeRequest({.prompt = ChatOf("", "Hi")}).prompt, model.Encode(ChatOf("", "Hi")));
  EXPECT_THROW(model.MakeRequest({.prompt = std::string(100, 'x'), .max_tokens = 1}), Error);
}

// The default of 128 tokens would not fit any more, the choice does.
TEST(LocalModel, AChoiceFitsWhereLongerAnswersWouldNot) {
  LocalModel model = MakeFake({.max_context = 100});
  const EngineRequest asked =
      model.MakeRequest({.prompt = std::string(80, 'x'),
                         .max_tokens = 128,
                         .constraint = {.choices = {"yes", "no"}, .json_schema = ""}});
  EXPECT_EQ(asked.max_tokens, 4);
  EXPECT_LE(asked.prompt.size() + static_cast<size_t>(asked.max_tokens), 100u);
}

class CopyingTransformer final : public FakeTransformer {
 public:
  using FakeTransformer::FakeTransformer;
  size_t BytesToRepack() const override { return bytes_; }
  void Repack(ThreadPool& /*pool*/) override { bytes_ = 0; }

 private:
  size_t bytes_ = 1000;
};

LoadedModel CopyingModel() {
  LoadedModel loaded = FakeModel();
  loaded.transformer = std::make_unique<CopyingTransformer>(loaded.tokenizer->VocabSize());
  return loaded;
}

TEST(LocalModel, CopiesWeightsBeforeTheFirstRequestIfAsked) {
  LocalOptions options{.kv = "f32", .kv_budget_bytes = 16 << 20};
  EXPECT_EQ(LocalModel(options, CopyingModel()).Loaded().transformer->BytesToRepack(), 1000u);
  options.repack_at_start = true;
  EXPECT_EQ(LocalModel(options, CopyingModel()).Loaded().transformer->BytesToRepack(), 0u);
}

TEST(LocalModel, ABudgetWithoutRoomNamesTheCopyOfTheWeights) {
  try {
    LocalModel({.kv = "f32", .kv_budget_bytes = 100}, CopyingModel());
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("the weights' copy takes 1000 bytes more (repack off: none)"));
  }
}

TEST(LocalModel, ItsCacheHasItsSoftmax) {
  EXPECT_EQ(MakeFake().Blocks().Softmax(), kv::SoftmaxKind::kExact);
  EXPECT_EQ(MakeFake({.softmax = "sas"}).Blocks().Softmax(), kv::SoftmaxKind::kSas);
}

}  // namespace
}  // namespace throng::engine
