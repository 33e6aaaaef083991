#include "engine/local_llm.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

// A vocabulary of single bytes, the space (as SentencePiece writes it), and an end.
std::unique_ptr<model::Tokenizer> ByteTokenizer() {
  model::TokenizerData data;
  data.model = "llama";
  data.tokens = {"<unk>", "<s>", "</s>"};
  data.types = {model::TokenType::kUnknown, model::TokenType::kControl, model::TokenType::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    data.types.push_back(model::TokenType::kByte);
  }
  data.tokens.push_back("\u2581");
  data.types.push_back(model::TokenType::kNormal);
  data.scores.resize(data.tokens.size());
  data.unknown = 0;
  data.bos = 1;
  data.eos = 2;
  data.add_bos = 1;
  data.add_space_prefix = false;
  return std::make_unique<model::Tokenizer>(std::move(data));
}

std::unique_ptr<LocalLlm> MakeFake(LocalOptions options = {},
                                   model::ChatFamily family = model::ChatFamily::kPlain) {
  LoadedModel model;
  model.tokenizer = ByteTokenizer();
  model.chat = model::ChatTemplate(family);
  auto transformer = std::make_unique<FakeTransformer>(model.tokenizer->VocabSize() + 5);
  model.transformer = std::move(transformer);
  options.kv = "f32";
  options.threads = 2;
  if (options.kv_budget_bytes == 0) options.kv_budget_bytes = 16 << 20;
  return MakeLocalLlm(options, std::move(model));
}

llm::Request Ask(const std::string& prompt, uint32_t agent) {
  llm::Request request;
  request.prompt = prompt;
  request.id = agent;
  request.key = {agent, 1, 0};
  request.constraint.choices = {"yes", "no", "perhaps"};
  request.sampling.temperature = 1;
  return request;
}

TEST(LocalLlm, AnswersEveryRequestOnce) {
  const auto llm = MakeFake();
  std::set<uint64_t> ids;
  for (uint32_t agent = 0; agent < 50; ++agent) {
    llm->Submit(Ask(fmt::format("Will it rain at {:02}?", agent), agent));
    ids.insert(agent);
  }
  std::vector<llm::Completion> done;
  std::set<std::string> texts;
  while (done.size() < 50) {
    const size_t before = done.size();
    llm->Wait(done);
    ASSERT_GT(done.size(), before);
  }
  for (const llm::Completion& completion : done) {
    EXPECT_EQ(ids.erase(completion.id), 1u);
    EXPECT_EQ(completion.finish, llm::FinishReason::kStop);
    EXPECT_EQ(completion.prompt_tokens, 20);  // BOS and 19 bytes
    texts.insert(completion.text);
  }
  EXPECT_EQ(texts, (std::set<std::string>{"yes", "no", "perhaps"}));
  const size_t all = done.size();
  llm->Wait(done);  // nothing is in flight: returns at once
  EXPECT_EQ(done.size(), all);
  EXPECT_EQ(llm->GetStats().calls, 50u);
}

TEST(LocalLlm, TheSameCallHasTheSameAnswer) {
  std::vector<std::string> texts;
  for (const int max_batch : {1, 8}) {
    const auto llm = MakeFake({.max_batch = max_batch});
    llm::Request request = Ask("What now?", 7);
    request.constraint = {};
    request.max_tokens = 50;
    for (uint32_t i = 0; i < 5; ++i) llm->Submit(Ask("another", i));
    llm->Submit(request);
    for (std::vector<llm::Completion> done; done.size() < 6;) {
      llm->Wait(done);
      for (const auto& completion : done) {
        if (completion.id == request.id) texts.push_back(completion.text);
      }
    }
  }
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), 1u);
}

TEST(LocalLlm, WaitsNoLongerThanTold) {
  const auto llm = MakeFake();
  std::vector<llm::Completion> done;
  llm::Request request = Ask("?", 0);
  request.constraint = {};
  llm->Submit(request);
  llm->Wait(done, 0);
  llm->Wait(done, 1e-4);
  while (done.empty()) llm->Wait(done, 10);
  EXPECT_EQ(done.size(), 1u);
}

TEST(LocalLlm, RefusesAtSubmitAndGoesOn) {
  const auto llm = MakeFake({.max_context = 100});
  llm::Request request = Ask(std::string(200, 'x'), 0);
  EXPECT_THROW(llm->Submit(request), Error);
  request = Ask("?", 0);
  request.constraint.choices.clear();
  request.constraint.json_schema = "{not json";
  EXPECT_THROW(llm->Submit(request), Error);
  std::vector<llm::Completion> done;
  llm->Wait(done);  // nothing is in flight
  EXPECT_TRUE(done.empty());
}

TEST(LocalLlm, RefusesOptionsThatCannotWork) {
  EXPECT_THROW(MakeFake({.kv_budget_bytes = 100}), Error);
  EXPECT_THROW(MakeFake({.threads = 0, .max_batch = 0}), Error);
  EXPECT_THROW(MakeLocalLlm({.model = "/nonexistent.gguf"}), Error);
}

TEST(LocalLlm, FramesPromptsByTheTemplate) {
  const auto llm = MakeFake({}, model::ChatFamily::kChatMl);
  const model::ChatMessage messages[] = {{"system", "Be brief."}, {"user", "Hi"}};
  const std::string text = llm->GetTokenizer().Decode(llm->EncodeChat(messages));
  EXPECT_NE(text.find("system\nBe brief."), std::string::npos) << text;
  EXPECT_EQ(llm->GetTokenizer().Decode(llm->EncodeText("Hi")), "Hi");
  EXPECT_NE(llm->Identity().find("template=chatml"), std::string::npos) << llm->Identity();
  EXPECT_NE(llm->Identity().find("kv=f32"), std::string::npos) << llm->Identity();
}

}  // namespace
}  // namespace throng::engine
