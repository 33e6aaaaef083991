// The expressions of Evaluator.

#include "jinja/builtin.h"
#include "jinja/evaluator.h"
#include "jinja/format.h"
#include "jinja/loop.h"
#include "jinja/operators.h"

namespace throng::jinja {

Value Evaluator::Eval(const Expr& expr, Scope& scope) {
  const Runtime::Level level(runtime_);
  runtime_.Step();
  switch (expr.kind) {
    case Expr::kConst:
      return static_cast<const ConstExpr&>(expr).value;
    case Expr::kName:
      return EvalName(static_cast<const NameExpr&>(expr), scope);
    case Expr::kList:
      return EvalList(static_cast<const ListExpr&>(expr), scope);
    case Expr::kDict:
      return EvalDict(static_cast<const DictExpr&>(expr), scope);
    case Expr::kUnary:
      return EvalUnary(static_cast<const UnaryExpr&>(expr), scope);
    case Expr::kBinary:
      return EvalBinary(static_cast<const BinaryExpr&>(expr), scope);
    case Expr::kLogic:
      return EvalLogic(static_cast<const LogicExpr&>(expr), scope);
    case Expr::kCompare:
      return EvalCompare(static_cast<const CompareExpr&>(expr), scope);
    case Expr::kConcat:
      return EvalConcat(static_cast<const ConcatExpr&>(expr), scope);
    case Expr::kConditional:
      return EvalConditional(static_cast<const ConditionalExpr&>(expr), scope);
    case Expr::kAttribute:
      return EvalAttribute(static_cast<const AttributeExpr&>(expr), scope);
    case Expr::kItem:
      return EvalItem(static_cast<const ItemExpr&>(expr), scope);
    case Expr::kSlice:
      return EvalSlice(static_cast<const SliceExpr&>(expr), scope);
    case Expr::kCall:
      return EvalCall(static_cast<const CallExpr&>(expr), scope);
    case Expr::kFilter:
      return EvalFilter(static_cast<const FilterExpr&>(expr), scope, nullptr);
    case Expr::kTest:
      return EvalTest(static_cast<const TestExpr&>(expr), scope);
  }
  return Value();
}

Value Evaluator::EvalName(const NameExpr& expr, Scope& scope) {
  uint64_t looked_at = 0;
  const Value* found = scope.Find(expr.id, looked_at);
  runtime_.Step(looked_at / 16);
  if (found != nullptr) return *found;
  const std::string& name = ast_.names[static_cast<size_t>(expr.id)];
  if (const Builtin* function = FindFunction(name)) {
    return runtime_.NewFunction(name, [function](Runtime& runtime, const Arguments& arguments) {
      return CallBuiltin(runtime, *function, Value(), arguments);
    });
  }
  return Undefined{nullptr, name};
}

Value Evaluator::EvalList(const ListExpr& expr, Scope& scope) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const Expr* item : expr.items) items.push_back(Eval(*item, scope));
  return runtime_.NewList(std::move(items), expr.is_tuple ? List::kTuple : List::kList);
}

Value Evaluator::EvalDict(const DictExpr& expr, Scope& scope) {
  Dict* dict = runtime_.NewDict();
  for (const auto& [key_expr, value_expr] : expr.items) {
    Value key = Eval(*key_expr, scope);
    Value value = Eval(*value_expr, scope);
    runtime_.SetPosition(key_expr->offset);
    runtime_.Touch(2 * sizeof(Value));
    const std::string id = KeyOf(runtime_, key);
    dict->Set(id, std::move(key), std::move(value));
  }
  return dict;
}

Value Evaluator::EvalUnary(const UnaryExpr& expr, Scope& scope) {
  Value operand = Eval(*expr.operand, scope);
  runtime_.SetPosition(expr.offset);
  if (expr.op == UnaryExpr::kNot) return !IsTrue(operand);
  if (expr.op == UnaryExpr::kNegative) return Negated(runtime_, operand);
  return Negated(runtime_, Negated(runtime_, operand));
}

Value Evaluator::EvalBinary(const BinaryExpr& expr, Scope& scope) {
  const Value left = Eval(*expr.left, scope);
  const Value right = Eval(*expr.right, scope);
  runtime_.SetPosition(expr.offset);
  return ApplyBinary(runtime_, expr.op, left, right);
}

// The value of the side that decides, as in Python.
Value Evaluator::EvalLogic(const LogicExpr& expr, Scope& scope) {
  Value left = Eval(*expr.left, scope);
  return IsTrue(left) == expr.is_and ? Eval(*expr.right, scope) : left;
}

Value Evaluator::EvalCompare(const CompareExpr& expr, Scope& scope) {
  Value left = Eval(*expr.first, scope);
  for (const CompareExpr::Step& step : expr.steps) {
    Value right = Eval(*step.right, scope);
    runtime_.SetPosition(expr.offset);
    if (!ApplyCompare(runtime_, step.op, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::EvalConcat(const ConcatExpr& expr, Scope& scope) {
  TextBuilder builder;
  for (const Expr* item : expr.items) {
    const Text text = ToText(runtime_, Eval(*item, scope));
    runtime_.Touch(text.Size());
    builder.Append(text);
  }
  return builder.Take();
}

Value Evaluator::EvalConditional(const ConditionalExpr& expr, Scope& scope) {
  if (IsTrue(Eval(*expr.condition, scope))) return Eval(*expr.then, scope);
  if (expr.otherwise != nullptr) return Eval(*expr.otherwise, scope);
  return Undefined{nullptr, "the value of an 'if' without 'else'"};
}

Value Evaluator::EvalAttribute(const AttributeExpr& expr, Scope& scope) {
  const Value object = Eval(*expr.object, scope);
  runtime_.SetPosition(expr.offset);
  return AttributeOf(runtime_, object, expr.name);
}

Value Evaluator::EvalItem(const ItemExpr& expr, Scope& scope) {
  const Value object = Eval(*expr.object, scope);
  const Value index = Eval(*expr.index, scope);
  runtime_.SetPosition(expr.offset);
  return ItemOf(runtime_, object, index);
}

Value Evaluator::EvalSlice(const SliceExpr& expr, Scope& scope) {
  const auto bound = [&](const Expr* part) { return part != nullptr ? Eval(*part, scope) : Value(None()); };
  const Value object = Eval(*expr.object, scope);
  const Value start = bound(expr.start), stop = bound(expr.stop), step = bound(expr.step);
  runtime_.SetPosition(expr.offset);
  return SliceOf(runtime_, object, start, stop, step);
}

Value Evaluator::EvalCall(const CallExpr& expr, Scope& scope) {
  // The common call of a method, without making a function of it.
  if (expr.callee->kind == Expr::kAttribute) {
    const auto& attribute = static_cast<const AttributeExpr&>(*expr.callee);
    const Value object = Eval(*attribute.object, scope);
    if (const Builtin* method = FindMethod(object, attribute.name)) {
      const Arguments arguments = EvalArguments(expr.arguments, scope);
      runtime_.SetPosition(attribute.offset);
      return CallBuiltin(runtime_, *method, object, arguments);
    }
    runtime_.SetPosition(attribute.offset);
    const Value callee = AttributeOf(runtime_, object, attribute.name);
    const Arguments arguments = EvalArguments(expr.arguments, scope);
    runtime_.SetPosition(attribute.offset);
    return runtime_.Call(callee, arguments);
  }
  const Value callee = Eval(*expr.callee, scope);
  const Arguments arguments = EvalArguments(expr.arguments, scope);
  runtime_.SetPosition(expr.callee->offset);
  return runtime_.Call(callee, arguments);
}

Value Evaluator::EvalFilter(const FilterExpr& expr, Scope& scope, const Value* block) {
  const Runtime::Level level(runtime_);
  Value operand;
  if (expr.operand == nullptr) {
    operand = *block;
  } else if (block != nullptr && expr.operand->kind == Expr::kFilter) {
    operand = EvalFilter(static_cast<const FilterExpr&>(*expr.operand), scope, block);
  } else {
    operand = Eval(*expr.operand, scope);
  }
  if (expr.filter == nullptr) {
    runtime_.SetPosition(expr.offset);
    runtime_.Fail("there is no filter named '{}'", expr.name.substr(0, 60));
  }
  const Arguments arguments = EvalArguments(expr.arguments, scope);
  runtime_.SetPosition(expr.offset);
  return CallBuiltin(runtime_, *expr.filter, operand, arguments);
}

Value Evaluator::ApplyFilters(const Expr& filters, Scope& scope, const Text& text) {
  const Value block = text;
  return EvalFilter(static_cast<const FilterExpr&>(filters), scope, &block);
}

Value Evaluator::EvalTest(const TestExpr& expr, Scope& scope) {
  const Value operand = Eval(*expr.operand, scope);
  if (expr.test == nullptr) {
    runtime_.SetPosition(expr.offset);
    runtime_.Fail("there is no test named '{}'", expr.name.substr(0, 60));
  }
  const Arguments arguments = EvalArguments(expr.arguments, scope);
  runtime_.SetPosition(expr.offset);
  return CallBuiltin(runtime_, *expr.test, operand, arguments);
}

Arguments Evaluator::EvalArguments(const ArgumentExprs& exprs, Scope& scope) {
  Arguments arguments;
  for (const Expr* expr : exprs.positional) arguments.positional.push_back(Eval(*expr, scope));
  for (const ArgumentExprs::Named& named : exprs.named) {
    arguments.named.emplace_back(named.name, Eval(*named.value, scope));
  }
  if (exprs.more_positional != nullptr) {
    const std::vector<Value> more = Iterate(runtime_, Eval(*exprs.more_positional, scope));
    arguments.positional.insert(arguments.positional.end(), more.begin(), more.end());
  }
  if (exprs.more_named != nullptr) {
    const Value more = Eval(*exprs.more_named, scope);
    runtime_.SetPosition(exprs.more_named->offset);
    if (!more.Is<Dict*>()) runtime_.Fail("what follows '**' must be a dict, not '{}'", TypeName(more));
    for (const auto& [key, value] : more.As<Dict*>()->items) {
      if (!key.Is<Text>()) runtime_.Fail("the names of arguments must be strings, not '{}'", TypeName(key));
      arguments.named.emplace_back(key.As<Text>(), value);
    }
  }
  return arguments;
}

}  // namespace throng::jinja
