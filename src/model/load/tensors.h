// The tensors of a file, found by name, checked and typed, and those that nobody asked for.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "model/gguf/gguf.h"
#include "model/load/refusals.h"
#include "model/matmul/matmul.h"

namespace throng::model {

// Refuses with kUnsupported the tensors whose types are not computed with, those of a type together.
void RefuseUnknownTypes(const GgufFile& file, Refusals& refusals);

// All functions refuse with kCorrupt a missing tensor or a wrong shape. What is refused, if refusals are
// gathered, is a matrix without data, or ones; so is everything of a file that was opened for its header.
class Tensors {
 public:
  Tensors(const GgufFile& file, Refusals& refusals) : file_(file), refusals_(refusals) {}

  bool Has(std::string_view name) const { return file_.FindTensor(name) != nullptr; }
  // Null if there is none. Does not count as asked for.
  const TensorInfo* Info(std::string_view name) const { return file_.FindTensor(name); }

  // [rows, cols]; in the file's order of dimensions: cols, rows. It stays where the file is mapped. Beside
  // NAME.weight there may be NAME.scale, one number in F32 for each part; NAME.input_scale, for the rounding
  // of inputs to 4 bits, is of no use here.
  Matrix FindMatrix(const std::string& name, int rows, int cols) const;
  // The same of a table whose rows are read one by one, which has no scale.
  Matrix FindTable(const std::string& name, int rows, int cols) const;
  // One matrix per expert, one after the other: [experts * rows, cols]; in the file: cols, rows, experts.
  Matrix FindExperts(const std::string& name, int experts, int rows, int cols) const;
  // [size]
  std::vector<float> FindVector(const std::string& name, int size) const;
  // Empty if there is none.
  std::vector<float> FindVectorOrNone(const std::string& name, int size) const;
  // Of these dimensions, in the file's order, as floats.
  std::vector<float> FindFloats(const std::string& name, std::initializer_list<int> dims) const;

  // Says that a tensor does not change what is computed.
  void Ignore(std::string_view name) const;
  // The same of all tensors "blk.N." with first <= N < end.
  void IgnoreBlocks(int first, int end) const;
  // Refuses with kUnsupported the tensors that nobody asked for: they could change what is computed.
  void RefuseOthers() const;

 private:
  // Null if the tensor is refused.
  const TensorInfo* Find(const std::string& name, std::initializer_list<int> dims) const;
  Matrix FindRows(const std::string& name, std::initializer_list<int> dims, int rows, int cols) const;
  void FindScales(const std::string& name, Matrix& matrix) const;
  std::vector<float> Ones(const std::string& name, size_t count) const;

  const GgufFile& file_;
  Refusals& refusals_;
  mutable size_t num_ones_ = 0;
  mutable std::unordered_set<std::string_view> used_;
};

}  // namespace throng::model
