// node tokenize.mjs TOKENIZER.json TEXTS.json NODE_MODULES: the ids of each text by Hugging Face's tokenizers, as JSON.
import fs from 'node:fs';
import path from 'node:path';
import {createRequire} from 'node:module';

const [tokenizerFile, textsFile, modules] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'x.js'));
const {Tokenizer} = require('tokenizers');
const tokenizer = Tokenizer.fromFile(tokenizerFile);
const texts = JSON.parse(fs.readFileSync(textsFile, 'utf8'));
const encoded = await Promise.all(texts.map((text) => tokenizer.encode(text, null, {addSpecialTokens: false})));
console.log(JSON.stringify(encoded.map((encoding) => encoding.getIds())));
