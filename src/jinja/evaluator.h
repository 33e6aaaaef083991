// Runs a parsed template: statements write to an output, expressions have values.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/runtime.h"
#include "jinja/scope.h"
#include "jinja/text.h"

namespace throng::jinja {

class Evaluator {
 public:
  // Both outlive it.
  Evaluator(const Ast& ast, Runtime& runtime) : ast_(ast), runtime_(runtime) {}

  // variables: by the ids of their names.
  Text Run(const std::vector<std::pair<NameId, Value>>& variables);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Statements.
  Flow Exec(const Body& body, Scope& scope);
  Flow ExecOne(const Stmt& stmt, Scope& scope);
  Flow ExecIf(const IfStmt& stmt, Scope& scope);
  Flow ExecFor(const ForStmt& stmt, Scope& scope);
  void RunLoop(const ForStmt& stmt, Scope& scope, const Value& items, int64_t depth0);
  void ExecSetBlock(const SetBlockStmt& stmt, Scope& scope);
  void ExecCallBlock(const CallBlockStmt& stmt, Scope& scope);
  Flow ExecWith(const WithStmt& stmt, Scope& scope);
  void Assign(const Target& target, const Value& value, Scope& scope);
  void Write(const Text& text);
  // What a body writes, with variables of its own.
  Text Captured(const Body& body, Scope& scope);
  Text Captured(const std::function<void()>& write);
  Function* MakeMacro(const MacroStmt& macro, Scope& scope);
  Value CallMacro(const MacroStmt& macro, Scope& scope, const Arguments& arguments);
  Scope* NewScope(Scope& parent) { return runtime_.New(Scope(&parent)); }

  // Expressions.
  Value Eval(const Expr& expr, Scope& scope);
  Value EvalName(const NameExpr& expr, Scope& scope);
  Value EvalList(const ListExpr& expr, Scope& scope);
  Value EvalDict(const DictExpr& expr, Scope& scope);
  Value EvalUnary(const UnaryExpr& expr, Scope& scope);
  Value EvalBinary(const BinaryExpr& expr, Scope& scope);
  Value EvalLogic(const LogicExpr& expr, Scope& scope);
  Value EvalCompare(const CompareExpr& expr, Scope& scope);
  Value EvalConcat(const ConcatExpr& expr, Scope& scope);
  Value EvalConditional(const ConditionalExpr& expr, Scope& scope);
  Value EvalAttribute(const AttributeExpr& expr, Scope& scope);
  Value EvalItem(const ItemExpr& expr, Scope& scope);
  Value EvalSlice(const SliceExpr& expr, Scope& scope);
  Value EvalCall(const CallExpr& expr, Scope& scope);
  Value EvalFilter(const FilterExpr& expr, Scope& scope, const Value* block);
  Value EvalTest(const TestExpr& expr, Scope& scope);
  Arguments EvalArguments(const ArgumentExprs& exprs, Scope& scope);
  // A chain of filters on what a block wrote.
  Value ApplyFilters(const Expr& filters, Scope& scope, const Text& text);

  const Ast& ast_;
  Runtime& runtime_;
  TextBuilder* out_ = nullptr;
};

}  // namespace throng::jinja
