#include "eval/ruler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/testing/fake_model.h"
#include "kv/softmax_kind.h"
#include "model/config.h"

namespace throng::eval {
namespace {

const std::string kModel = std::string(THRONG_SHARED_DIR) + "/models/stories260K.gguf";
const std::string kRulerWords = std::string(THRONG_SOURCE_DIR) + "/town/eval/ruler.json";
constexpr RulerTask kRulerTasks[] = {RulerTask::kSingle,    RulerTask::kMultiKey, RulerTask::kMultiValue,
                                     RulerTask::kVariables, RulerTask::kCommon,   RulerTask::kFrequent};

size_t CountWords(const std::string& message, const std::string& start) {
  std::istringstream in(message + start);
  return static_cast<size_t>(std::distance(std::istream_iterator<std::string>(in), {}));
}

TEST(RulerTextTest, FillsTheLengthAndHoldsWhatIsAsked) {
  const RulerWriter writer(kRulerWords);
  for (const RulerTask task : kRulerTasks) {
    for (const size_t length : {600u, 2000u}) {
      const RulerItem item = writer.Make(task, length, 0.5, 7, CountWords);
      size_t most = 0;
      for (const RulerQuestion& question : item.questions) {
        most = std::max(most, CountWords(item.text + "\n" + question.text + "\n", question.start));
        EXPECT_EQ(question.words.size(), RulerWriter::WordsOfAnswer(task)) << RulerTaskName(task);
        for (const RulerWord& word : question.words) {
          EXPECT_TRUE(HasWord(item.text, word.word)) << RulerTaskName(task) << " " << word.word;
          EXPECT_EQ(word.depth >= 0.0, task != RulerTask::kCommon && task != RulerTask::kFrequent);
          EXPECT_LE(word.depth, 1.0);
        }
        EXPECT_EQ((item.text + question.text + question.start).find('{'), std::string::npos);
      }
      EXPECT_LE(most, length) << RulerTaskName(task);
      EXPECT_GE(most, length - length / 40 - 20)
          << RulerTaskName(task);  // a sentence or a few words are missing
    }
  }
}

TEST(RulerTextTest, IsAFunctionOfItsSeedAndDepth) {
  const RulerWriter writer(kRulerWords);
  const auto text = [&](double depth, uint64_t seed) {
    return writer.Make(RulerTask::kSingle, 1000, depth, seed, CountWords);
  };
  EXPECT_EQ(text(0.5, 1).text, text(0.5, 1).text);
  EXPECT_NE(text(0.5, 1).text, text(0.5, 2).text);
  for (const double depth : {0.1, 0.5, 0.9}) {
    EXPECT_NEAR(text(depth, 3).questions[0].words[0].depth, depth, 0.03);
  }
}

TEST(RulerTextTest, VariablesFormChainsAndFrequentWordsAreTheMostFrequent) {
  const RulerWriter writer(kRulerWords);
  const RulerItem chains = writer.Make(RulerTask::kVariables, 800, 0.5, 3, CountWords);
  ASSERT_EQ(chains.questions.size(), 2u);
  for (const RulerQuestion& question : chains.questions) {
    double last = -1.0;
    for (size_t i = 0; i < question.words.size(); ++i) {
      if (i > 0) {
        const std::string set = "Set " + question.words[i].word + " = " + question.words[i - 1].word + ".";
        EXPECT_NE(chains.text.find(set), std::string::npos) << set;
      }
      EXPECT_GT(question.words[i].depth, last);
      last = question.words[i].depth;
    }
  }
  for (const RulerTask task : {RulerTask::kCommon, RulerTask::kFrequent}) {
    const RulerItem item = writer.Make(task, 1500, 0.5, 3, CountWords);
    std::map<std::string, int> counts;
    std::istringstream in(item.text);
    for (std::string word; in >> word;) ++counts[word];
    int least = 1 << 20;
    for (const RulerWord& word : item.questions[0].words) {
      least = std::min(least, counts[word.word]);
      counts.erase(word.word);
    }
    counts.erase("...");
    for (const auto& [word, count] : counts) EXPECT_LT(count, least) << word;
  }
}

TEST(RulerTextTest, TooShortTextsAndBadFilesAreRefused) {
  const RulerWriter writer(kRulerWords);
  for (const RulerTask task : kRulerTasks) {
    EXPECT_THROW(writer.Make(task, 20, 0.5, 1, CountWords), Error) << RulerTaskName(task);
  }
  EXPECT_THROW(ParseRulerTask("needle"), Error);
  EXPECT_THROW(ParseExactPart("all"), Error);
  const std::string path = testing::TempDir() + "/words.json";
  std::ofstream(path) << R"({"words":["a b"]})";
  EXPECT_THROW(RulerWriter{path}, Error);
  EXPECT_THROW(RulerWriter(path + ".missing"), Error);
}

TEST(RulerTest, AWordCountsOnlyAsAWhole) {
  EXPECT_TRUE(HasWord("Ox, box.", "ox"));
  EXPECT_FALSE(HasWord("box, oxen", "ox"));
  EXPECT_TRUE(HasWord("boxes ox", "ox"));
  EXPECT_FALSE(HasWord("", "ox"));
  EXPECT_FALSE(HasWord("ox", ""));
}

RulerOptions SomeRuler() {
  RulerOptions options;
  options.codecs = {"f32", "rot2"};
  options.tasks = {RulerTask::kMultiKey, RulerTask::kVariables};
  options.lengths = {400};
  options.samples = 1;
  return options;
}

TEST(RulerTest, F32AgreesWithItselfHoweverThePromptIsRead) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  ThreadPool threads(2);
  RulerOptions options = SomeRuler();
  std::vector<std::vector<double>> kl;  // of rot2's answers, by what is exact
  for (const ExactPart exact : {ExactPart::kNone, ExactPart::kText, ExactPart::kPrompt}) {
    options.exact = exact;
    const RulerRun run = RunRuler(model, kRulerWords, options, threads);
    ASSERT_EQ(run.subjects.size(), 3u);
    ASSERT_EQ(run.results.size(), 4u + 2u);
    kl.emplace_back();
    for (const RulerResult& result : run.results) {
      EXPECT_LE(result.prompt_tokens, 400);
      EXPECT_EQ(result.answers[1].text, result.answers[0].text);
      EXPECT_EQ(result.answers[1].kl, 0.0);
      EXPECT_GT(result.answers[2].kl, 0.0);
      kl.back().push_back(result.answers[2].kl);
    }
  }
  EXPECT_NE(kl[0], kl[1]);
  EXPECT_NE(kl[1], kl[2]);
  EXPECT_NE(kl[0], kl[2]);
}

// The keys and values of the first layer do not depend on attention, those of the others do.
TEST(SubjectTest, EncodingWhatF32ReadGivesTheCodesOfExactAttention) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  ThreadPool threads(1);
  std::vector<int32_t> text(300);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int32_t>(260 + i * 37 % 200);
  const auto vocab = static_cast<size_t>(model.transformer->Config().vocab_size);
  Subject exact("f32", kv::SoftmaxKind::kExact, model, threads);
  exact.Read(text, exact.Cache(), {});
  for (const char* codec : {"f32", "int8", "flashq4", "gear2"}) {
    Subject read(codec, kv::SoftmaxKind::kExact, model, threads);
    Subject encoded(codec, kv::SoftmaxKind::kExact, model, threads);
    read.Read(text, read.Cache(), {});
    encoded.Encode(exact.Cache(), encoded.Cache());
    ASSERT_EQ(encoded.Cache().NumTokens(), 300);
    const kv::BlockLayout& layout = read.Cache().Layout();
    const bool is_exact = std::string(codec) == "f32";
    for (int layer = 0; layer < layout.NumLayers(); ++layer) {
      bool same = true;
      for (int block = 0; block < 4; ++block) {
        const size_t bytes = layout.At(layer, 0).keys->Bytes(kv::Part::kKeys);
        same = same && std::memcmp(read.Cache().Sealed(layer, 0, block).keys,
                                   encoded.Cache().Sealed(layer, 0, block).keys, bytes) == 0;
      }
      EXPECT_EQ(same, layer == 0 || is_exact) << codec << " layer " << layer;
    }
    // Both go on from there, the open page included.
    std::vector<float> expected(vocab), actual(vocab);
    const int32_t next = 300;
    read.Forward({&next, 1}, read.Cache(), 1, expected.data());
    encoded.Forward({&next, 1}, encoded.Cache(), 1, actual.data());
    EXPECT_EQ(expected == actual, is_exact) << codec;
  }
}

TEST(SubjectTest, EncodingCarriesTheStateOfRecurrentLayers) {
  engine::LoadedModel model = engine::FakeModel();
  const int vocab = model.transformer->Config().vocab_size;
  model.transformer = std::make_unique<engine::FakeTransformer>(vocab, std::vector<size_t>{5, 100});
  ThreadPool threads(1);
  for (const size_t length : {100, 128}) {
    std::vector<int32_t> text(length);
    for (size_t i = 0; i < length; ++i) text[i] = static_cast<int32_t>(i * 37 % 200);
    Subject exact("f32", kv::SoftmaxKind::kExact, model, threads);
    Subject encoded("f32", kv::SoftmaxKind::kExact, model, threads);
    exact.Read(text, exact.Cache(), {});
    encoded.Encode(exact.Cache(), encoded.Cache());
    std::vector<float> expected(static_cast<size_t>(vocab)), actual(expected);
    const int32_t next = 7;
    exact.Forward({&next, 1}, exact.Cache(), 1, expected.data());
    encoded.Forward({&next, 1}, encoded.Cache(), 1, actual.data());
    EXPECT_EQ(expected, actual) << length;
  }
}

TEST(RulerTest, LengthsBeyondTheContextAreRefused) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  ThreadPool threads(1);
  RulerOptions options = SomeRuler();
  for (const int length : {0, 100, 1 << 20}) {
    options.lengths = {length};
    EXPECT_THROW(RunRuler(model, kRulerWords, options, threads), Error) << length;
  }
}

}  // namespace
}  // namespace throng::eval
