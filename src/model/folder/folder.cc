#include "model/folder/folder.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "model/folder/families.h"
#include "model/folder/folder_tensors.h"
#include "model/folder/safetensors.h"
#include "model/folder/vocabulary.h"
#include "model/gguf/gguf_values.h"
#include "model/gguf/gguf_writer.h"

namespace throng::model {
namespace {

using nlohmann::json;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
    content_.name = path_;
    if (Has("config.json")) config_ = Read("config.json");
  }

  std::unique_ptr<GgufFile> OpenVocabulary() {
    // What the tokenizer asks for; other kinds of models have their vocabulary too.
    const bool is_phi3 = config_.value("model_type", json()) == "phi3";
    writer_.Add("general.architecture", is_phi3 ? "phi3" : "none");
    AddVocabulary(0);
    return Finish();
  }

  std::unique_ptr<GgufFile> Open() {
    if (!Has("config.json")) throw MakeError(ErrorCode::kIo, "{}: the folder lacks config.json", path_);
    const JsonObject object(Path("config.json"), config_);
    const FolderConfig config = ReadFolderConfig(object);
    writer_.Add("general.architecture", config.family.architecture);
    writer_.Add("general.name", std::filesystem::path(path_).filename().string());
    std::vector<GgufContent::Tensor> made = WriteConfig(config, writer_);
    const std::vector<StoredTensor> stored = ReadWeights();
    try {
      content_.tensors = ConvertTensors(config, stored);
    } catch (const Error& error) {
      throw Error(error.Code(), path_ + ": " + error.what());
    }
    std::ranges::move(made, std::back_inserter(content_.tensors));
    AddVocabulary(Rows());
    return Finish();
  }

 private:
  std::string Path(const std::string& file) const { return path_ + "/" + file; }
  bool Has(const std::string& file) const { return std::filesystem::exists(Path(file)); }
  json Read(const std::string& file) const { return ParseJson(ReadFile(Path(file)), Path(file)); }
  json ReadOrEmpty(const std::string& file) const { return Has(file) ? Read(file) : json::object(); }

  // Of the embedding.
  uint32_t Rows() const {
    const auto found = std::ranges::find(content_.tensors, "token_embd.weight", &GgufContent::Tensor::name);
    if (found == content_.tensors.end() || found->dims.size() != 2 || found->dims[1] > (1u << 24)) return 0;
    return static_cast<uint32_t>(found->dims[1]);
  }

  void AddVocabulary(uint32_t size) {
    if (!Has("tokenizer.json")) throw MakeError(ErrorCode::kIo, "{}: the folder lacks tokenizer.json", path_);
    const VocabularyFiles files{path_,
                                ReadFile(Path("tokenizer.json")),
                                ReadOrEmpty("tokenizer_config.json"),
                                config_,
                                ReadOrEmpty("generation_config.json"),
                                Has("chat_template.jinja") ? ReadFile(Path("chat_template.jinja")) : ""};
    WriteVocabulary(files, size, writer_);
  }

  // Names of tensors by the files that hold them; none: all that are there.
  std::map<std::string, std::set<std::string>> FindShards() const {
    if (!Has(kIndex)) {
      if (Has(kWeights)) return {{kWeights, {}}};
      throw MakeError(ErrorCode::kIo, "{}: the folder has neither {} nor {}", path_, kWeights, kIndex);
    }
    const json index = Read(kIndex);
    const JsonObject object(Path(kIndex), index);
    if (!object.Object("weight_map"))
      throw MakeError(ErrorCode::kCorrupt, "{}: lacks the key weight_map", object.Name());
    std::map<std::string, std::set<std::string>> shards;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      const std::string name = file.is_string() ? file.get<std::string>() : "";
      if (name.empty() || name.find('/') != std::string::npos) {
        throw MakeError(ErrorCode::kCorrupt,
                        "{}: tensor {} is in {}; the name of a file in the folder is expected", object.Name(),
                        Quoted(tensor), ShortJson(file));
      }
      shards[name].insert(tensor);
    }
    return shards;
  }

  std::vector<StoredTensor> ReadWeights() {
    std::vector<StoredTensor> all;
    std::set<std::string> names;
    for (const auto& [file, wanted] : FindShards()) {
      content_.files.push_back(Map(file));
      for (StoredTensor& tensor : ReadSafetensors(content_.files.back().Bytes(), Path(file))) {
        if (!names.insert(tensor.name).second) {
          throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} is in an earlier file too", Path(file),
                          Quoted(tensor.name));
        }
        all.push_back(std::move(tensor));
      }
      for (const std::string& tensor : wanted) {
        if (names.contains(tensor)) continue;
        throw MakeError(ErrorCode::kCorrupt, "{}: lacks tensor {}, which {} says is there", Path(file),
                        Quoted(tensor), kIndex);
      }
    }
    return all;
  }

  MappedFile Map(const std::string& file) const {
    try {
      return MappedFile(Path(file));
    } catch (const Error& error) {
      throw Error(error.Code(), fmt::format("{}: a file of the weights is missing: {}", path_, error.what()));
    }
  }

  std::unique_ptr<GgufFile> Finish() {
    content_.metadata = writer_.Finish();
    return std::make_unique<GgufFile>(std::move(content_));
  }

  std::string path_;
  json config_ = json::object();
  GgufWriter writer_;
  GgufContent content_;
};

}  // namespace

std::unique_ptr<GgufFile> OpenModel(const std::string& path, GgufUse use) {
  if (std::filesystem::is_directory(path)) return Folder(path).Open();
  return std::make_unique<GgufFile>(path, use);
}

std::unique_ptr<GgufFile> OpenVocabulary(const std::string& path) {
  if (std::filesystem::is_directory(path)) return Folder(path).OpenVocabulary();
  return std::make_unique<GgufFile>(path);
}

}  // namespace throng::model
