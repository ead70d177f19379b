// Writes TypeScript for a JSON Schema: an exported type for each of its
// `definitions`, of the same name and in the same order, with what the schema
// says of it, and `rest`, which is TypeScript. Reads the schema (draft-07) from
// standard input and writes to standard output; run by `cargo xtask generate`.
//
// json-schema-to-typescript does most of it. What it would lose gets another
// form before; what it writes beside the definitions is left out after.

import { text } from "node:stream/consumers";
import { compile } from "json-schema-to-typescript";
import { format } from "prettier";

const WIDTH = 100;

/** The type of the document itself, which nobody wants. */
const DOCUMENT = "Document__";

const { definitions = {}, rest = "" } = JSON.parse(await text(process.stdin));
const names = Object.keys(definitions);

const module = await compile(
  {
    type: "object",
    // What nothing refers to would get a comment that says where it came from.
    properties: Object.fromEntries(names.map((name) => [name, { $ref: `#/definitions/${name}` }])),
    definitions: mapValues(definitions, prepared),
  },
  DOCUMENT,
  {
    // Objects have the fields that the schema names, unless it says that there are others.
    additionalProperties: false,
    bannerComment: "",
    style: { bracketSpacing: true, printWidth: WIDTH, trailingComma: "all" },
  },
);

const types = declarations(module);
types.delete(DOCUMENT);
for (const name of names) {
  if (!types.has(name)) throw new Error(`there is no type for the definition ${name}`);
}
for (const name of types.keys()) {
  // Such as `Name1`, a copy of the type `Name`.
  if (!names.includes(name)) throw new Error(`there is no definition for the type ${name}`);
}
const formatted = await format(rest, { parser: "typescript", printWidth: WIDTH });
process.stdout.write([...names.map((name) => types.get(name)), formatted].join("\n"));

/** A schema in the form that json-schema-to-typescript makes the most of. */
function prepared(schema) {
  if (typeof schema !== "object") return schema;
  // A default would be taken for a type, and limits would make tuples of arrays.
  const { $ref, default: value, maxItems, ...result } = schema;
  // What may be anything would be taken for an object.
  if (Object.keys(schema).every((key) => key === "description")) result.tsType = "unknown";
  if ("properties" in result) result.properties = mapValues(result.properties, prepared);
  for (const key of ["additionalProperties", "items", "anyOf", "oneOf"]) {
    if (key in result) {
      const value = result[key];
      result[key] = Array.isArray(value) ? value.map(prepared) : prepared(value);
    }
  }
  // Beside anything else, a reference would be to a copy of the type.
  if ($ref !== undefined) result.allOf = [{ $ref }];

  const variants = (schema.oneOf ?? []).flatMap(described).join("\n");
  const said = [schema.description, variants, isScalar(value) && `@default ${value}`];
  result.description = said.filter(Boolean).join("\n\n") || undefined;
  return result;
}

function isScalar(value) {
  return value !== undefined && typeof value !== "object";
}

/** What a union says of one of its variants, as an item of a list: TypeScript has no place for it. */
function described({ properties, description }) {
  const tag = Object.values(properties).find((property) => property.const !== undefined);
  return [`- \`${tag.const}\`: ${description.replaceAll("\n", "\n  ")}`];
}

/** The declarations of a module, by name, each with its comment. */
function declarations(module) {
  const starts = /^(?:\/\*\*.*?\*\/\n)?export (?:interface|type) (\w+)/gms;
  const found = [...module.matchAll(starts)];
  return new Map(
    found.map(({ index, 1: name }, number) => {
      const declaration = module.slice(index, found[number + 1]?.index).trimEnd();
      return [name, `${withShortComments(declaration)}\n`];
    }),
  );
}

/** Makes comments one line where there is room for them. */
function withShortComments(declaration) {
  return declaration.replaceAll(
    /^( *)\/\*\*\n *\* (.*)\n *\*\/$/gm,
    (long, indentation, comment) => {
      const short = `${indentation}/** ${comment} */`;
      return short.length <= WIDTH ? short : long;
    },
  );
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}
