#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "python/convert/convert.h"
#include "python/convert/with_python.h"
#include "python/llm/completion.h"
#include "python/module/bind.h"
#include "python/module/ending.h"
#include "python/module/model.h"

namespace py = pybind11;

namespace throng::python {

namespace {

std::unique_ptr<Model> MakeModel(const std::string& path, const std::string& kv, const std::string& keys,
                                 const std::string& values, const std::string& softmax, int threads,
                                 int max_batch, int max_context, uint64_t kv_budget_bytes, bool prefix_cache,
                                 const std::string& lookup, const std::string& repack,
                                 const std::string& device) {
  CheckEntry();
  engine::LocalOptions options;
  options.model = path;
  options.kv = kv;
  options.keys = keys;
  options.values = values;
  options.softmax = softmax;
  options.threads = threads;
  options.max_batch = max_batch;
  options.max_context = max_context;
  options.kv_budget_bytes = kv_budget_bytes;
  options.prefix_cache = prefix_cache;
  options.lookup = lookup;
  options.repack = repack;
  options.device = device;
  const WithoutPython unlocked;
  return std::make_unique<Model>(options);
}

// While a batch is computed; what it throws cancels the batch.
void LockAndCheckEnding() {
  const WithPython lock;
  CheckEnding();
}

py::list Generate(Model& model, const py::object& prompt_texts, bool chat, const py::object& system_text,
                  int max_tokens, float temperature, const py::object& choices, const py::object& json_schema,
                  uint64_t seed, const py::object& stop, int top_k, float top_p, float min_p,
                  float repetition_penalty) {
  const LongCall call;
  const std::vector<std::string> prompts = ToTexts(prompt_texts, "generate: prompt");
  const std::string system(ToText(system_text, "generate: system"));
  engine::TextRequest common;
  common.max_tokens = max_tokens;
  common.sampling = {temperature, top_k, top_p, min_p, repetition_penalty, seed};
  common.constraint = {ToTexts(choices, "generate: choices"), SchemaText(json_schema)};
  common.stop = ToTexts(stop, "generate: stop");
  std::vector<engine::TextRequest> requests(prompts.size(), common);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (chat) {
      requests[i].prompt = engine::ChatOf(system, prompts[i]);
    } else {
      requests[i].prompt = prompts[i];
    }
  }
  std::vector<engine::EngineResult> results;
  {
    const WithoutPython unlocked;
    results = model.Generate(std::move(requests), LockAndCheckEnding);
  }
  py::list completions;
  for (const engine::EngineResult& result : results) {
    completions.append(MakeCompletion(result.text, result.finish, result.prompt_tokens,
                                      result.cached_prompt_tokens, static_cast<int>(result.tokens.size())));
  }
  return completions;
}

std::vector<std::vector<float>> Embed(Model& model, const py::object& texts) {
  const LongCall call;
  const std::vector<std::string> inputs = ToTexts(texts, "embed: texts");
  const WithoutPython unlocked;
  std::vector<std::vector<float>> vectors;
  for (engine::EngineResult& result : model.Embed(inputs, LockAndCheckEnding))
    vectors.push_back(std::move(result.embedding));
  return vectors;
}

py::array_t<float> Logits(Model& model, const std::vector<int32_t>& tokens, int last) {
  const int rows = last == 0 ? static_cast<int>(tokens.size()) : last;
  model.CheckTokens(tokens, rows);  // before allocating memory
  py::array_t<float> logits({rows, model.VocabSize()});
  float* const out = logits.mutable_data();
  {
    const WithoutPython unlocked;
    model.Logits(tokens, rows, out);
  }
  return logits;
}

std::vector<int32_t> Tokenize(Model& model, const py::object& given, bool bos, bool special) {
  const std::string text(ToText(given, "tokenize: text"));
  const WithoutPython unlocked;
  return model.Local()->Loaded().tokenizer->Encode(text, {.add_bos = bos, .parse_special = special});
}

py::dict Stats(Model& model) {
  const engine::EngineState state = model.Local()->State();
  py::dict dict;
  dict["kv_bytes"] = state.kv_bytes;
  dict["kv_bytes_peak"] = state.kv_bytes_peak;
  dict["kv_bytes_per_token"] = model.Local()->KvBytesPerToken();
  dict["kv_sliding_bytes_per_token"] = model.Local()->KvSlidingBytesPerToken();
  dict["kv_window_bytes"] = model.Local()->KvWindowBytes();
  dict["kv_state_bytes"] = model.Local()->KvStateBytes();
  dict["f16_bytes_per_token"] = model.Local()->F16BytesPerToken();
  return dict;
}

}  // namespace

void AddModel(py::module_& module) {
  py::class_<Model>(module, "Model")
      .def(py::init(&MakeModel), py::kw_only(), py::arg("path"), py::arg("kv"), py::arg("keys"),
           py::arg("values"), py::arg("softmax"), py::arg("threads"), py::arg("max_batch"),
           py::arg("max_context"), py::arg("kv_budget_bytes"), py::arg("prefix_cache"), py::arg("lookup"),
           py::arg("repack"), py::arg("device"))
      .def("generate", &Generate, py::kw_only(), py::arg("prompts"), py::arg("chat"), py::arg("system"),
           py::arg("max_tokens"), py::arg("temperature"), py::arg("choices"), py::arg("json_schema"),
           py::arg("seed"), py::arg("stop"), py::arg("top_k"), py::arg("top_p"), py::arg("min_p"),
           py::arg("repetition_penalty"))
      .def("embed", &Embed)
      .def("logits", &Logits)
      .def("tokenize", &Tokenize)
      .def("detokenize",
           [](Model& model, const std::vector<int32_t>& ids) {
             return MakeText(model.Local()->Loaded().tokenizer->Decode(ids));
           })
      .def("stats", &Stats)
      .def_property_readonly("name", [](Model& model) { return model.Local()->Name(); })
      .def_property_readonly("identity", [](Model& model) { return model.Local()->Identity(); })
      .def_property_readonly("vocab_size", &Model::VocabSize)
      .def_property_readonly("context", [](Model& model) { return model.Local()->Options().max_context; })
      .def_property_readonly("adds_bos",
                             [](Model& model) { return model.Local()->Loaded().tokenizer->AddsBos(); });
}

}  // namespace throng::python
