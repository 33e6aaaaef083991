// A trained model, end to end: the text must equal that of another implementation.

#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "base/mapped_file.h"
#include "engine/local_model.h"

namespace throng::engine {
namespace {

const std::string kModels = std::string(THRONG_SHARED_DIR) + "/models/";

std::string GreedyText(LocalModel& model, const std::string& prompt, int max_tokens) {
  EngineRequest request = model.MakeRequest({.prompt = prompt, .max_tokens = max_tokens});
  std::string text;
  for (const int32_t token : request.prompt) text += model.Loaded().tokenizer->TokenBytes(token);
  const auto done = std::make_shared<std::promise<EngineResult>>();
  request.on_done = [done](EngineResult result) { done->set_value(std::move(result)); };
  model.Submit(std::move(request));
  return text + done->get_future().get().text;
}

TEST(Greedy, ATrainedModelWritesTheRecordedText) {
  const std::string model = kModels + "stories260K.gguf";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is missing";
  std::string expected = ReadFile(kModels + "stories260K.greedy200.txt");
  while (expected.ends_with('\n')) expected.pop_back();  // the recording tool's
  for (const char* kv : {"f32", "f16"}) {
    LocalOptions options;
    options.model = model;
    options.kv = kv;
    options.kv_budget_bytes = 64 << 20;
    LocalModel local(options);
    EXPECT_EQ(GreedyText(local, "Once upon a time", 200), expected) << kv;
  }
}

}  // namespace
}  // namespace throng::engine
