// Schemas as people and their libraries write them: by hand, by pydantic, by zod, in older drafts.

const text = (most, more = {}) => ({ type: 'string', maxLength: most, ...more });
const object = (properties, more = {}) => ({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false, ...more });
const FORMATS = ['date-time', 'date', 'time', 'duration', 'email', 'hostname', 'ipv4', 'ipv6', 'uri', 'uuid', 'uri-reference', 'uri-template',
  'json-pointer', 'relative-json-pointer', 'regex'];

export const SCHEMAS = {
  'an object of everything': object({
    name: text(20), age: { type: 'integer', minimum: 0, maximum: 150 }, height: { type: 'number', exclusiveMinimum: 0, maximum: 3 },
    married: { type: 'boolean' }, spouse: { anyOf: [text(10), { type: 'null' }] }, tags: { type: 'array', items: text(8), maxItems: 4 },
  }),
  'optional members': { type: 'object', properties: { a: text(5), b: { type: 'integer', minimum: -5, maximum: 5 }, c: { enum: [1, 'x', null, [2]] } } },
  'any JSON, of few members': { type: 'object', maxProperties: 2, additionalProperties: { type: ['string', 'integer', 'null'], maxLength: 6, maximum: 9 } },
  'a minimum of members': { type: 'object', properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } }, additionalProperties: false, minProperties: 2 },
  'formats': object(Object.fromEntries(FORMATS.map((format) => [format, { type: 'string', format, maxLength: 60 }]))),
  'formats alone': { type: 'array', minItems: FORMATS.length, prefixItems: FORMATS.map((format) => ({ type: 'string', format, maxLength: 80 })), items: false },
  'patterns': object({
    code: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{3,5}$' }, slug: { type: 'string', pattern: '^[a-z0-9]+(?:-[a-z0-9]+)*$', maxLength: 20 },
    inside: { type: 'string', pattern: 'ab|cd', maxLength: 12 }, words: { type: 'string', pattern: '^(\\w+\\s){1,3}\\w+$', maxLength: 30 },
    ahead: { type: 'string', pattern: '^(?=.*\\d)(?!.*x).{3,8}$' }, letters: { type: 'string', pattern: '^\\p{Lu}\\p{Ll}{0,6}$' },
  }),
  'lengths, in characters': object({ a: { type: 'string', minLength: 5, maxLength: 7 }, b: { type: 'string', minLength: 1, maxLength: 1 }, c: { const: '' } }),
  'bounds of integers': object({
    a: { type: 'integer', minimum: -3, maximum: 12 }, b: { type: 'integer', exclusiveMinimum: 99, exclusiveMaximum: 102 },
    c: { type: 'integer', minimum: 1000000 }, d: { type: 'integer', multipleOf: 7, minimum: 1, maximum: 100 }, e: { type: 'integer', maximum: -1 },
  }),
  'bounds of numbers': object({
    a: { type: 'number', minimum: -0.5, maximum: 0.25 }, b: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, c: { type: 'number', minimum: 1e6 },
    d: { type: 'number', multipleOf: 0.01, minimum: 0, maximum: 10 }, e: { type: 'number', maximum: 3.5 }, f: { type: 'number' },
  }),
  'tuples': { type: 'array', prefixItems: [{ type: 'integer', minimum: 0, maximum: 9 }, text(4), { type: 'boolean' }], items: { type: 'null' }, minItems: 2, maxItems: 5 },
  'unique values': { type: 'array', items: { enum: ['a', 'b', 'c', 'd', 'e'] }, uniqueItems: true, minItems: 2, maxItems: 4 },
  'unique values, more than a few': { type: 'array', items: { type: 'integer', enum: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }, uniqueItems: true, minItems: 2, maxItems: 5 },
  'unique booleans': { type: 'array', items: { type: 'boolean' }, uniqueItems: true },
  'lists in lists': { type: 'array', maxItems: 3, items: { type: 'array', maxItems: 3, items: { type: 'array', minItems: 1, maxItems: 2, items: { type: 'integer', minimum: 0, maximum: 1 } } } },
  'a tree': {
    $defs: { node: object({ value: { type: 'integer', minimum: 0, maximum: 99 }, children: { type: 'array', maxItems: 1, items: { $ref: '#/$defs/node' } } }) },
    $ref: '#/$defs/node',
  },
  'a list that refers to the whole': { type: 'object', properties: { head: text(3), tail: { anyOf: [{ $ref: '#' }, { type: 'null' }] } }, required: ['head', 'tail'], additionalProperties: false },
  'anchors, and references with siblings': {
    $defs: { short: { $anchor: 'short', type: 'string', maxLength: 6 } },
    ...object({ a: { $ref: '#short', minLength: 2 }, b: { $ref: '#/$defs/short', pattern: '^[a-f]*$' } }),
  },
  'shapes by a tag': {
    oneOf: [
      object({ kind: { const: 'circle' }, radius: { type: 'number', exclusiveMinimum: 0, maximum: 100 } }),
      object({ kind: { const: 'square' }, side: { type: 'integer', minimum: 1, maximum: 50 } }),
      object({ kind: { enum: ['line', 'path'] }, points: { type: 'array', items: { type: 'integer', minimum: 0, maximum: 9 }, minItems: 2, maxItems: 3 } }),
    ],
  },
  'one of closed objects, by a value that may be absent': {
    oneOf: ['x', 'y'].map((kind) => ({ type: 'object', properties: { kind: { const: kind }, on: { type: 'boolean' } }, additionalProperties: false })),
  },
  'one of closed objects, by members that the others do not have': {
    oneOf: [
      { type: 'object', properties: { id: { type: 'integer', minimum: 0, maximum: 9 }, on: { type: 'boolean' } }, required: ['id'], additionalProperties: false },
      { type: 'object', properties: { id: { type: 'integer', minimum: 5, maximum: 14 }, tag: text(3) }, additionalProperties: false },
      object({ tag: text(5), name: text(4) }),
    ],
  },
  'not a closed object': { ...object({ a: { enum: [1, 2] }, b: { enum: [1, 2] } }, { required: [] }), not: object({ a: { const: 1 } }, { required: [] }) },
  'one of overlapping ranges': { type: 'integer', minimum: 0, maximum: 30, oneOf: [{ maximum: 12 }, { minimum: 8 }] },
  'one of lengths': { type: 'string', maxLength: 12, oneOf: [{ minLength: 4 }, { maxLength: 8 }] },
  'not a value': { type: 'string', maxLength: 4, not: { enum: ['', 'a', 'no'] } },
  'not a pattern, not a length': { type: 'string', maxLength: 8, allOf: [{ not: { pattern: '[aeiou]' } }, { not: { maxLength: 1 } }] },
  'not a number': { type: 'number', minimum: 0, maximum: 2, not: { enum: [0, 1, 0.5] } },
  'an item that must be there': { type: 'array', items: { type: 'integer', minimum: 0, maximum: 5 }, contains: { minimum: 4 }, minContains: 2, maxContains: 3, maxItems: 6 },
  'an item that must not be there': { type: 'array', items: { type: 'integer', minimum: 0, maximum: 5 }, not: { contains: { const: 3 } }, maxItems: 6 },
  'not a member': { type: 'object', properties: { a: { type: 'boolean' }, b: { type: 'boolean' } }, additionalProperties: false, not: { required: ['a', 'b'] } },
  'if, then, else': {
    ...object({ country: { enum: ['de', 'us'] }, code: text(10) }),
    if: { properties: { country: { const: 'us' } } }, then: { properties: { code: { pattern: '^\\d{5}$' } } }, else: { properties: { code: { minLength: 2 } } },
  },
  'what others require': {
    type: 'object', properties: { card: { type: 'integer', minimum: 0, maximum: 9 }, address: text(5), name: text(5) }, additionalProperties: false,
    dependentRequired: { card: ['address'] }, dependentSchemas: { name: { required: ['card'] } },
  },
  'all of': { allOf: [{ type: 'object', properties: { a: text(4) }, required: ['a'] }, { properties: { a: { minLength: 2 }, b: { type: 'null' } }, required: ['b'] }] },
  'names by pattern': { type: 'object', patternProperties: { '^n_': { type: 'integer', minimum: 0, maximum: 9 }, '^s_': text(3) }, additionalProperties: false, propertyNames: { maxLength: 6 }, maxProperties: 3 },
  'names by many patterns': {
    type: 'object', patternProperties: Object.fromEntries(['^a', '^b', '^c', '^d', '^e', 'x$'].map((pattern, i) => [pattern, { type: 'integer', minimum: i, maximum: 9 }])),
    additionalProperties: false, propertyNames: { maxLength: 4 }, maxProperties: 3,
  },
  'names by propertyNames': { type: 'object', propertyNames: { pattern: '^[a-z]{1,3}$' }, additionalProperties: { type: 'boolean' }, maxProperties: 3 },
  'other members beside named ones': { type: 'object', properties: { id: { type: 'integer', minimum: 0, maximum: 99 } }, required: ['id'], additionalProperties: text(3), maxProperties: 3 },
  'several types': { type: ['string', 'number', 'boolean', 'null'], maxLength: 5, minimum: -1, maximum: 1 },
  'values with everything in them': { enum: ['a"b\\c\n\t\u0001', 'é漢😀', { a: [1, { b: null }], 'c d': -0.5 }, [], {}, '', 1e21] },
  'names with everything in them': object({ 'a"b': { const: 1 }, 'c\\d\n': { const: 2 }, 'é 😀': { const: 3 }, '': { const: 4 }, '/~': { const: 5 } }),
  // pydantic
  'pydantic: a model with a sub-model and an enum': {
    $defs: {
      Color: { enum: ['red', 'green'], title: 'Color', type: 'string' },
      Item: {
        properties: { name: { maxLength: 9, title: 'Name', type: 'string' }, price: { exclusiveMinimum: 0, maximum: 1000, title: 'Price', type: 'number' }, color: { $ref: '#/$defs/Color' } },
        required: ['name', 'price', 'color'], title: 'Item', type: 'object',
      },
    },
    properties: {
      id: { format: 'uuid', title: 'Id', type: 'string' }, items: { items: { $ref: '#/$defs/Item' }, maxItems: 2, minItems: 1, title: 'Items', type: 'array' },
      note: { anyOf: [{ maxLength: 8, type: 'string' }, { type: 'null' }], default: null, title: 'Note' },
      made: { format: 'date-time', title: 'Made', type: 'string' }, favourite: { anyOf: [{ $ref: '#/$defs/Item' }, { type: 'null' }] },
    },
    required: ['id', 'items', 'made'], title: 'Order', type: 'object',
  },
  'pydantic: a discriminated union': {
    $defs: {
      Cat: { properties: { kind: { const: 'cat', title: 'Kind', type: 'string' }, lives: { maximum: 9, minimum: 1, title: 'Lives', type: 'integer' } }, required: ['kind', 'lives'], title: 'Cat', type: 'object' },
      Dog: { properties: { kind: { const: 'dog', title: 'Kind', type: 'string' }, barks: { title: 'Barks', type: 'boolean' } }, required: ['kind', 'barks'], title: 'Dog', type: 'object' },
    },
    properties: { pet: { discriminator: { mapping: { cat: '#/$defs/Cat', dog: '#/$defs/Dog' }, propertyName: 'kind' }, oneOf: [{ $ref: '#/$defs/Cat' }, { $ref: '#/$defs/Dog' }], title: 'Pet' } },
    required: ['pet'], title: 'Home', type: 'object',
  },
  'pydantic: maps, tuples, decimals': {
    properties: {
      scores: { additionalProperties: { type: 'integer', maximum: 9, minimum: 0 }, maxProperties: 3, title: 'Scores', type: 'object' },
      pair: { maxItems: 2, minItems: 2, prefixItems: [{ type: 'integer', minimum: 0, maximum: 99 }, { type: 'string', maxLength: 4 }], title: 'Pair', type: 'array' },
      cost: { anyOf: [{ type: 'number', minimum: 0, maximum: 99 }, { pattern: '^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$', type: 'string', maxLength: 9 }], title: 'Cost' },
      choice: { enum: ['a', 1, null], title: 'Choice' },
    },
    required: ['scores', 'pair', 'cost', 'choice'], title: 'M', type: 'object',
  },
  'pydantic: extra forbidden, recursive': {
    $defs: {
      Expr: {
        additionalProperties: false,
        properties: { op: { enum: ['+', '*', 'leaf'], type: 'string' }, value: { anyOf: [{ type: 'integer', minimum: 0, maximum: 9 }, { type: 'null' }], default: null }, args: { default: [], items: { $ref: '#/$defs/Expr' }, maxItems: 2, type: 'array' } },
        required: ['op'], title: 'Expr', type: 'object',
      },
    },
    $ref: '#/$defs/Expr',
  },
  // older drafts
  'draft 7: definitions, lists of items, dependencies': {
    $schema: 'http://json-schema.org/draft-07/schema#', definitions: { small: { type: 'integer', minimum: 0, maximum: 9 } }, type: 'object',
    properties: { pair: { type: 'array', items: [{ $ref: '#/definitions/small' }, { type: 'string', maxLength: 3 }], additionalItems: false, minItems: 1 }, a: { type: 'null' }, b: { type: 'null' } },
    required: ['pair'], additionalProperties: false, dependencies: { a: ['b'] },
  },
  'draft 7: if in allOf': {
    $schema: 'http://json-schema.org/draft-07/schema#', type: 'object', properties: { kind: { enum: ['x', 'y'] }, x: text(3), y: { type: 'integer', minimum: 0, maximum: 5 } },
    required: ['kind'], additionalProperties: false,
    allOf: [{ if: { properties: { kind: { const: 'x' } } }, then: { required: ['x'] } }, { if: { properties: { kind: { const: 'y' } } }, then: { required: ['y'] } }],
  },
};

// What zod makes of types.
export function zodSchemas(z) {
  const Address = z.object({ street: z.string().max(12), zip: z.string().regex(/^\d{5}$/), country: z.enum(['de', 'fr']).optional() });
  const Person = z.object({
    name: z.string().min(1).max(10), email: z.email().max(40), born: z.iso.date(), seen: z.iso.datetime().nullable(), id: z.uuid(), site: z.url().max(50).optional(),
    age: z.int().min(0).max(150), score: z.number().gte(0).lt(1), address: Address, tags: z.array(z.string().max(5)).max(3),
  });
  const types = {
    'a person': Person,
    'a union by a tag': z.discriminatedUnion('type', [z.object({ type: z.literal('a'), n: z.int().min(0).max(9) }), z.object({ type: z.literal('b'), s: z.string().max(4) })]),
    'a union': z.union([z.string().max(5), z.int().min(0).max(9), z.object({ x: z.boolean() }).strict(), z.null()]),
    'a tuple with a rest': z.tuple([z.string().max(3), z.int().min(0).max(9)], z.boolean()),
    'a record': z.record(z.string().max(4), z.int().min(0).max(9)),
    'an intersection': z.intersection(z.object({ a: z.string().max(3) }), z.object({ b: z.boolean() })),
    'times and addresses': z.object({ t: z.iso.time(), d: z.iso.duration(), v4: z.ipv4(), v6: z.ipv6(), b: z.base64().max(12) }),
    'texts': z.object({ starts: z.string().startsWith('ab').max(6), ends: z.string().endsWith('yz').max(6), has: z.string().includes('k').max(6), low: z.string().lowercase().max(6) }),
    'a category of categories': z.object({ name: z.string().max(4), get sub() { return z.array(types['a category of categories']).max(1); } }),
    'defaults and what is optional': z.object({ a: z.string().max(4).default('x'), b: z.boolean().optional(), c: z.int().min(1).max(3).nullish() }),
    'multiples and literals': z.object({ m: z.number().multipleOf(0.5).min(0).max(10), l: z.literal([1, 'two', null]) }),
  };
  return Object.fromEntries(Object.entries(types).map(([name, type]) => [`zod: ${name}`, z.toJSONSchema(type)]));
}
