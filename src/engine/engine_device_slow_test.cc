// The engine over a model on the emulated GPU: what holds on the processor holds there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/emulation/emulated_device.h"
#include "device/testing/guarded_device.h"
#include "engine/local_model.h"
#include "engine/testing/engine_rig.h"
#include "engine/testing/fake_model.h"
#include "gpu/arena.h"
#include "gpu/device_memory.h"
#include "gpu/transformer.h"
#include "kv/cache/page_file.h"
#include "kv/testing/random_rows.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

model::TinyModel Tiny(int vocab = 40, int window = 0) {
  return {.type = model::TensorType::kQ8_0,
          .dim = 64,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 64,
          .ffn = 64,
          .vocab = vocab,
          .window = window};
}

std::shared_ptr<gpu::Arena> ArenaOf(size_t bytes) {
  return std::make_shared<gpu::Arena>(std::make_shared<device::GuardedDevice>(), bytes);
}

struct Case {
  const char* name;
  const char* codec;
  int window;
  double tolerance;  // the most that logits may differ from the processor's, of their length (docs/gpu.md)
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

void Compare(const std::vector<Answer>& answers, const std::vector<Answer>& alone) {
  for (size_t i = 0; i < answers.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone[i]));
  }
}

// What the memory has given out is what the ledger says.
void ExpectLedgerIsTheMemorys(const kv::BlockPool& pool) {
  const size_t free = static_cast<gpu::DeviceMemory&>(pool.Memory()).FreeBytes();
  const size_t taken = pool.BudgetBytes() / 256 * 256 - free;
  EXPECT_GT(taken, 0u);
  EXPECT_NEAR(static_cast<double>(pool.GetLedger().held.Total()), static_cast<double>(taken),
              0.02 * static_cast<double>(taken));
}

class EngineOnDevice : public testing::TestWithParam<Case> {
 protected:
  EngineOnDevice()
      : bytes_(Tiny(40, GetParam().window).Bytes()),
        file_(bytes_, "tiny"),
        device_(std::make_shared<device::GuardedDevice>()),
        arena_(std::make_shared<gpu::Arena>(device_)),
        transformer_(gpu::LoadTransformer(arena_, file_)) {
    CounterRng rng(5);
    for (const int length : {130, 3, 64}) {
      Question question{.prompt = std::vector<int32_t>(static_cast<size_t>(length)), .max_tokens = 5};
      for (int32_t& token : question.prompt) token = static_cast<int32_t>(rng.NextBelow(40));
      question.prompt[0] = static_cast<int32_t>(questions_.size());
      questions_.push_back(question);
    }
  }

  EngineRig& Rig(Conditions conditions) {
    rig_ = nullptr;
    conditions.softmax = GetParam().softmax;
    rig_ = std::make_unique<EngineRig>(*transformer_, GetParam().codec, conditions);
    return *rig_;
  }
  Answer Alone(const Question& question) { return Rig({.lookup = Lookup::kOff}).Ask(question); }
  std::vector<Answer> AllAlone() {
    std::vector<Answer> alone;
    for (const Question& question : questions_) alone.push_back(Alone(question));
    return alone;
  }
  void ExpectLedgerIsTheMemorys() { throng::engine::ExpectLedgerIsTheMemorys(rig_->Blocks()); }

  const std::vector<uint8_t> bytes_;
  const model::GgufFile file_;
  const std::shared_ptr<device::GuardedDevice> device_;
  const std::shared_ptr<gpu::Arena> arena_;
  const std::unique_ptr<model::Transformer> transformer_;
  std::vector<Question> questions_;
  std::unique_ptr<EngineRig> rig_;
};

TEST_P(EngineOnDevice, LogitsDoNotDependOnBatchesChunksAndGuesses) {
  const std::vector<Answer> alone = AllAlone();
  ASSERT_NE(alone[0].logits[0], alone[0].logits[1]);
  Compare(Rig({.chunk_tokens = 200}).Ask(questions_), alone);
  Compare(Rig({.step_tokens = 90, .chunk_tokens = 33}).Ask(questions_), alone);
}

TEST_P(EngineOnDevice, LogitsAreNearTheProcessors) {
  const auto host = model::LoadTransformer(file_);
  for (Question question : questions_) {
    question.max_tokens = 1;
    const Answer expected = EngineRig(*host, GetParam().codec, {.softmax = GetParam().softmax}).Ask(question);
    EXPECT_LT(kv::RelativeError(Alone(question).logits[0], expected.logits[0]), GetParam().tolerance);
  }
}

TEST_P(EngineOnDevice, PromptsThatBeginAlikeShareBlocksAndRows) {
  Question parted = questions_[0];  // within its second block
  parted.prompt.resize(100);
  parted.prompt.back() ^= 1;
  const std::vector<Answer> alone = AllAlone();
  const Answer parted_alone = Alone(parted);
  EngineRig& rig = Rig({.prefix_cache = true, .budget_tokens = 20000});
  Compare(rig.Ask(questions_), alone);
  ExpectLedgerIsTheMemorys();
  const std::vector<Answer> again = rig.Ask(questions_);
  Compare(again, alone);
  EXPECT_GE(again[0].result.cached_prompt_tokens, 128);
  const Answer of_parted = rig.Ask(parted);
  ASSERT_NO_FATAL_FAILURE(ExpectSame(of_parted, parted_alone));
  EXPECT_GE(of_parted.result.cached_prompt_tokens, 64);
  ExpectLedgerIsTheMemorys();
}

// Where nobody asks for logits, tokens are drawn on the device: the same ones, with guesses too, beside
// others whose logits are wanted.
TEST_P(EngineOnDevice, DrawsTheTokensThatTheProcessorDraws) {
  const std::vector<Answer> alone = AllAlone();
  const int launches = device_->Launches(device::KernelId::kSampleTokens);
  std::vector<Question> questions = questions_;
  questions[0].keep_logits = questions[2].keep_logits = false;
  const std::vector<Answer> answers = Rig({.chunk_tokens = 200}).Ask(questions);
  EXPECT_GT(device_->Launches(device::KernelId::kSampleTokens), launches + 1);  // one is the rig's
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].result.tokens, alone[i].result.tokens) << i;
    EXPECT_EQ(answers[i].logits.size(), questions[i].keep_logits ? alone[i].logits.size() : 0) << i;
  }
  ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[1], alone[1]));
}

TEST_P(EngineOnDevice, BlocksComeBackFromDisk) {
  std::vector<Question> questions(5, questions_[0]);
  std::vector<Answer> alone;
  for (size_t i = 0; i < questions.size(); ++i) {
    questions[i].prompt[0] = static_cast<int32_t>(i);
    questions[i].max_tokens = 1;
    alone.push_back(Alone(questions[i]));
  }
  EngineRig& rig = Rig({.prefix_cache = true, .budget_tokens = 135, .spill_folder = ::testing::TempDir()});
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < questions.size(); ++i) {
      ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions[i]), alone[i]));
    }
  }
  if (GetParam().window == 0) {
    EXPECT_GT(rig.Metric("throng:restored_blocks_total"), 0);
  }
  ExpectLedgerIsTheMemorys();
}

// Forks share blocks and copy rows; a file gives both to another process.
TEST_P(EngineOnDevice, PagesCanBeForkedSavedAndLoaded) {
  Question question = questions_[0];
  question.keep_pages = true;
  EngineRig& rig = Rig({});
  const auto pages = rig.Ask(question).result.pages;
  ASSERT_NE(pages, nullptr);
  const std::string path = ::testing::TempDir() + "/engine_device_test.kv";
  const kv::PageSource source{transformer_->WeightsDigest(), "test"};
  kv::SavePages(path, source, pages->tokens, pages->cache);
  const auto loaded = std::make_shared<kv::SavedPages>(kv::LoadPages(path, source, rig.Blocks()));
  Question longer{.prompt = pages->tokens, .max_tokens = 3};
  longer.prompt.push_back(9);
  const Answer whole = rig.Ask(longer);
  EXPECT_EQ(whole.result.cached_prompt_tokens, 0);
  for (const auto& start : {pages, std::shared_ptr<const kv::SavedPages>(loaded)}) {
    longer.start = start;
    const Answer answer = rig.Ask(longer);
    EXPECT_EQ(answer.result.cached_prompt_tokens, start->cache.NumTokens());
    ASSERT_NO_FATAL_FAILURE(ExpectSame(answer, whole));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, EngineOnDevice,
                         testing::Values(Case{"Flashq4", "flashq4", 0, 2e-3}, Case{"F16", "f16", 0, 1e-3},
                                         Case{"Flashq4Window", "flashq4", 40, 2e-3},
                                         Case{"Int8Sas", "int8", 0, 2e-2, kv::SoftmaxKind::kSas}),
                         [](const auto& info) { return info.param.name; });

// Two sequences are admitted, and there is no room for what both become: one yields, its blocks go to the
// prefix cache and to disk, and it comes back. Admission counts 64 tokens of an answer, so answers are
// longer, and in flashq4, whose sealed blocks are small, much longer; the model is as small as can be.
struct Yielding {
  const char* codec;
  int answer;         // tokens
  int budget_tokens;  // for which both are admitted, and less than both become
};
void PrintTo(const Yielding& one, std::ostream* out) { *out << one.codec; }

class SequencesOnDevice : public testing::TestWithParam<Yielding> {};

TEST_P(SequencesOnDevice, ThatYieldAnswerTheSame) {
  const auto bytes = model::TinyModel{.type = model::TensorType::kQ8_0,
                                      .dim = 32,
                                      .heads = 1,
                                      .kv_heads = 1,
                                      .head_dim = 64,
                                      .ffn = 32,
                                      .vocab = 40}
                         .Bytes();
  const model::GgufFile file(bytes, "tiny");
  // Not guarded: that takes most of the time.
  const auto arena = std::make_shared<gpu::Arena>(device::MakeEmulatedDevice({}), size_t{24} << 20);
  const auto transformer = gpu::LoadTransformer(arena, file);
  std::vector<Question> questions;
  std::vector<Answer> alone;
  for (int32_t i = 0; i < 2; ++i) {
    std::vector<int32_t> prompt(60, 3);
    prompt[0] = i;
    questions.push_back({.prompt = prompt, .max_tokens = GetParam().answer});
    alone.push_back(
        EngineRig(*transformer, GetParam().codec, {.lookup = Lookup::kOff}).Ask(questions.back()));
  }
  EngineRig rig(*transformer, GetParam().codec,
                {.prefix_cache = true,
                 .budget_tokens = GetParam().budget_tokens,
                 .spill_folder = ::testing::TempDir()});
  Compare(rig.Ask(questions), alone);
  EXPECT_GT(rig.Metric("throng:num_preemptions_total"), 0);
  ExpectLedgerIsTheMemorys(rig.Blocks());
}

INSTANTIATE_TEST_SUITE_P(Codecs, SequencesOnDevice,
                         testing::Values(Yielding{"f16", 140, 199}, Yielding{"flashq4", 200, 257}),
                         [](const auto& info) { return info.param.codec; });

std::string Thrown(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DeviceWithoutMemory, IsRefused) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  EXPECT_THAT(Thrown([&] { gpu::LoadTransformer(ArenaOf(4096), file); }),
              testing::AllOf(testing::StartsWith("emulated GPU has no memory for the weights of "),
                             testing::HasSubstr(" of 4.1 kB are left; ")));
  const auto arena = ArenaOf(size_t{2} << 20);
  const auto transformer = gpu::LoadTransformer(arena, file);
  EXPECT_GT(arena->TakenBytes(gpu::MemoryUse::kWeights), 0u);
  const kv::BlockLayout layout = EngineRig::MakeLayout(transformer->Config(), "flashq4");
  EXPECT_THAT(Thrown([&] { transformer->MakeMemory(layout, kv::SoftmaxKind::kExact, size_t{4} << 20); }),
              testing::StartsWith("KV cache: emulated GPU has no memory for a budget of 4.2 MB: "));
}

// Not the cache but what a pass computes with has no room. When it has, the engine goes on.
TEST(DeviceWithoutMemory, APassEndsItsRequests) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto arena = ArenaOf(size_t{8} << 20);
  const auto transformer = gpu::LoadTransformer(arena, file);
  EngineRig rig(*transformer, "flashq4", {.chunk_tokens = 256, .budget_tokens = 1000});
  const Question question{.prompt = std::vector<int32_t>(250, 1), .max_tokens = 1};
  std::vector<void*> rest;
  try {
    while (true) rest.push_back(arena->Allocate(4096));
  } catch (const std::bad_alloc&) {
  }
  const Answer failed = rig.Ask(question);
  for (void* memory : rest) arena->Free(memory);
  ASSERT_EQ(failed.result.finish, llm::FinishReason::kError);
  EXPECT_THAT(failed.result.error->what(),
              testing::AllOf(testing::StartsWith("request: emulated GPU has no memory for a step of "),
                             testing::HasSubstr(" of 8.4 MB are left; weights take ")));
  EXPECT_EQ(rig.Ask(question).result.finish, llm::FinishReason::kLength);
}

// A model on a device is one like others.
TEST(LocalModelOnDevice, AnswersAndNamesTheDevice) {
  const auto bytes = Tiny(260).Bytes();
  LoadedModel loaded = FakeModel();
  loaded.file = std::make_unique<model::GgufFile>(bytes, "tiny");
  loaded.transformer = gpu::LoadTransformer(gpu::OpenDevice("emulation"), *loaded.file);
  LocalModel model({.kv = "flashq4", .kv_budget_bytes = 4 << 20, .max_context = 200}, std::move(loaded));
  std::promise<EngineResult> done;
  EngineRequest request = model.MakeRequest({.prompt = "Hello", .max_tokens = 4});
  request.ignore_end = true;
  request.on_done = [&](EngineResult result) { done.set_value(std::move(result)); };
  model.Submit(std::move(request));
  EXPECT_EQ(done.get_future().get().tokens.size(), 4u);
  EXPECT_THAT(model.Identity(), testing::HasSubstr("softmax=exact device=emulated GPU"));
}

TEST(LocalModelOnDevice, OtherDevicesAndCodecsThatAreMeasuredAreRefused) {
  EXPECT_EQ(Thrown([] { gpu::OpenDevice("gpu"); }),
            "device gpu: cpu, cuda, cuda:N and cuda:N:SIZE, such as cuda:0:40GB, are allowed");
  for (const char* const name : {"cuda:x", "cuda:", "cuda:-1", "cuda:0:", "cuda:0:0", "cuda:0:-4GB",
                                 "cuda:0:4XB", "cuda:0:4GB:", "cuda:0:99999999999999GB"})
    EXPECT_THAT(Thrown([&] { gpu::OpenDevice(name); }), testing::HasSubstr(" are allowed")) << name;
  for (const char* const name : {"cuda", "cuda:7", "cuda:7:1000", "cuda:7:4GB"})
    EXPECT_THAT(Thrown([&] { gpu::OpenDevice(name); }), testing::Not(testing::HasSubstr(" are allowed")))
        << name;
  EXPECT_EQ(gpu::OpenDevice("cpu"), nullptr);
  const auto bytes = Tiny(260).Bytes();
  LoadedModel loaded = FakeModel();
  loaded.file = std::make_unique<model::GgufFile>(bytes, "tiny");
  loaded.transformer = gpu::LoadTransformer(gpu::OpenDevice("emulation"), *loaded.file);
  EXPECT_THAT(Thrown([&] {
                LocalModel({.kv = "auto", .kv_budget_bytes = 4 << 20, .max_context = 200}, std::move(loaded));
              }),
              testing::HasSubstr("(auto, flashq-mixed, bias=mean) need --device cpu"));
}

}  // namespace
}  // namespace throng::engine
