// A form for a message of any kind. What it edits is the message's JSON, so that raw JSON can be edited in its place.

import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescOneof,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import { useState } from "preact/hooks";
import { isSecret } from "./schema";

let ids = 0;

function useId(): string {
  return useState(() => `field-${++ids}`)[0];
}

type Set = (value: JsonValue | undefined) => void;

const INTEGERS = new Set<ScalarType>([
  ScalarType.INT32,
  ScalarType.UINT32,
  ScalarType.SINT32,
  ScalarType.FIXED32,
  ScalarType.SFIXED32,
]);
const LONG = new Set<ScalarType>([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);
const WRAPPED: Record<string, ScalarType> = {
  "google.protobuf.StringValue": ScalarType.STRING,
  "google.protobuf.BytesValue": ScalarType.BYTES,
  "google.protobuf.BoolValue": ScalarType.BOOL,
  "google.protobuf.Int32Value": ScalarType.INT32,
  "google.protobuf.UInt32Value": ScalarType.UINT32,
  "google.protobuf.Int64Value": ScalarType.INT64,
  "google.protobuf.UInt64Value": ScalarType.UINT64,
  "google.protobuf.FloatValue": ScalarType.FLOAT,
  "google.protobuf.DoubleValue": ScalarType.DOUBLE,
};
const FREE_JSON: Record<string, string> = {
  "google.protobuf.Struct": "{}",
  "google.protobuf.Value": "null",
  "google.protobuf.ListValue": "[]",
  "google.protobuf.Any": '{"@type": "type.googleapis.com/"}',
};

const ONE_WORD = new Set(["google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"]);

/** The fields of a message. */
export function Fields({
  message,
  value,
  set,
}: {
  message: DescMessage;
  value: JsonObject;
  set: (value: JsonObject) => void;
}) {
  if (message.fields.length === 0) return <p class="note">This message has no fields.</p>;
  const change = (changes: Record<string, JsonValue | undefined>) => {
    const next = { ...value };
    for (const [name, each] of Object.entries(changes)) {
      if (each === undefined) delete next[name];
      else next[name] = each;
    }
    set(next);
  };
  return (
    <div class="fields">
      {message.members.map((member) =>
        member.kind === "oneof" ? (
          <OneOf key={member.name} oneof={member} value={value} change={change} />
        ) : (
          <Field
            key={member.name}
            field={member}
            value={value[member.jsonName]}
            set={(each) => change({ [member.jsonName]: each })}
          />
        ),
      )}
    </div>
  );
}

function OneOf(props: {
  oneof: DescOneof;
  value: JsonObject;
  change: (changes: Record<string, JsonValue | undefined>) => void;
}) {
  const { oneof, value, change } = props;
  const id = useId();
  const chosen = oneof.fields.find((field) => value[field.jsonName] !== undefined);
  const choose = (name: string) => {
    const cleared = Object.fromEntries(oneof.fields.map((field) => [field.jsonName, undefined]));
    const field = oneof.fields.find((each) => each.name === name);
    change(field ? { ...cleared, [field.jsonName]: initial(field) } : cleared);
  };
  return (
    <div class="field">
      <div class="label">
        <label for={id}>{oneof.name}</label>
        <span class="type">one of</span>
      </div>
      <div class="control">
        <select id={id} value={chosen?.name ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="">none</option>
          {oneof.fields.map((field) => (
            <option key={field.name} value={field.name}>
              {field.name}
            </option>
          ))}
        </select>
        {chosen && (
          <Field
            field={chosen}
            value={value[chosen.jsonName]}
            set={(each) => change({ [chosen.jsonName]: each })}
            chosen
          />
        )}
      </div>
    </div>
  );
}

function Field({
  field,
  value,
  set,
  chosen,
}: {
  field: DescField;
  value: JsonValue | undefined;
  set: Set;
  chosen?: boolean;
}) {
  const id = useId();
  return (
    <div class="field">
      <div class="label">
        {hasOneInput(field) ? <label for={id}>{field.name}</label> : <span class="name">{field.name}</span>}
        <span class="type">{typeOf(field)}</span>
      </div>
      <div class="control">
        {field.fieldKind === "list" ? (
          <List id={id} field={field} value={Array.isArray(value) ? value : []} set={set} />
        ) : field.fieldKind === "map" ? (
          <Pairs id={id} field={field} value={isObject(value) ? value : {}} set={set} />
        ) : field.fieldKind === "message" ? (
          <Message id={id} message={field.message} value={value} set={set} optional={!chosen} />
        ) : (
          <Single id={id} field={field} value={value} set={set} />
        )}
      </div>
    </div>
  );
}

/** Whether a field is one input, which its label names. A button is named by its own text. */
function hasOneInput(field: DescField): boolean {
  if (field.fieldKind === "list" || field.fieldKind === "map") return false;
  return field.fieldKind !== "message" || isOneInput(field.message);
}

const isOneInput = ({ typeName }: DescMessage) =>
  typeName in WRAPPED || typeName in FREE_JSON || ONE_WORD.has(typeName);

type Simple = { scalar?: ScalarType; enum?: DescEnum };

function Single({
  id,
  field,
  value,
  set,
}: {
  id: string;
  field: DescField & { fieldKind: "scalar" | "enum" };
  value: JsonValue | undefined;
  set: Set;
}) {
  const simple: Simple = field.fieldKind === "enum" ? { enum: field.enum } : { scalar: field.scalar };
  return <Input id={id} simple={simple} value={value} set={set} secret={isSecret(field)} />;
}

function Input({
  id,
  simple,
  value,
  set,
  secret,
  label,
}: {
  id: string;
  simple: Simple;
  value: JsonValue | undefined;
  set: Set;
  secret?: boolean;
  label?: string;
}) {
  if (simple.enum) {
    return (
      <select
        id={id}
        aria-label={label}
        value={value === undefined ? "" : String(value)}
        onChange={(event) => set(event.currentTarget.value || undefined)}
      >
        <option value="">default ({simple.enum.values[0]?.name})</option>
        {simple.enum.values.map((each) => (
          <option key={each.name} value={each.name}>
            {each.name}
          </option>
        ))}
      </select>
    );
  }
  if (simple.scalar === ScalarType.BOOL) {
    return (
      <input
        id={id}
        aria-label={label}
        type="checkbox"
        checked={value === true}
        onChange={(event) => set(event.currentTarget.checked || undefined)}
      />
    );
  }
  if (simple.scalar === ScalarType.BYTES)
    return <Bytes id={id} label={label} value={value} set={set} secret={secret} />;
  if (simple.scalar === ScalarType.STRING) {
    return (
      <Text
        id={id}
        label={label}
        value={typeof value === "string" ? value : ""}
        set={(text) => set(text || undefined)}
        secret={secret}
      />
    );
  }
  const whole = simple.scalar !== undefined && (INTEGERS.has(simple.scalar) || LONG.has(simple.scalar));
  const changed = (text: string) => {
    if (text === "") return set(undefined);
    const number = Number(text);
    const safe = whole ? Number.isSafeInteger(number) : Number.isFinite(number);
    return set(safe && !LONG.has(simple.scalar!) ? number : text);
  };
  return (
    <input
      id={id}
      aria-label={label}
      class="mono short"
      inputMode={whole ? "numeric" : "decimal"}
      placeholder="0"
      value={value === undefined ? "" : String(value)}
      onInput={(event) => changed(event.currentTarget.value.trim())}
    />
  );
}

function Text({
  id,
  label,
  value,
  set,
  secret,
}: {
  id: string;
  label?: string;
  value: string;
  set: (text: string) => void;
  secret?: boolean;
}) {
  if (secret) {
    return (
      <input
        id={id}
        aria-label={label}
        type="password"
        autocomplete="off"
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    );
  }
  const rows = Math.min(value.split("\n").length, 8);
  return (
    <textarea
      id={id}
      aria-label={label}
      rows={rows}
      value={value}
      onInput={(event) => set(event.currentTarget.value)}
    />
  );
}

type Encoding = "text" | "base64" | "hex";

function Bytes({
  id,
  label,
  value,
  set,
  secret,
}: {
  id: string;
  label?: string;
  value: JsonValue | undefined;
  set: Set;
  secret?: boolean;
}) {
  const [as, setAs] = useState<Encoding>("text");
  const [typed, setTyped] = useState<string>();
  const encoded = typeof value === "string" ? value : "";
  const shown = typed ?? decode(encoded, as);
  const changed = (text: string) => {
    setTyped(text);
    set(encode(text, as) || undefined);
  };
  return (
    <div class="row">
      <Text id={id} label={label} value={shown} set={changed} secret={secret} />
      <select
        aria-label="Written as"
        value={as}
        onChange={(event) => {
          setTyped(undefined);
          setAs(event.currentTarget.value as Encoding);
        }}
      >
        <option value="text">text</option>
        <option value="base64">base64</option>
        <option value="hex">hex</option>
      </select>
      <label class="file">
        File
        <input
          type="file"
          aria-label="Take a file's content"
          onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            setTyped(undefined);
            void file?.arrayBuffer().then((content) => set(base64(new Uint8Array(content))));
          }}
        />
      </label>
    </div>
  );
}

function encode(text: string, as: Encoding): string {
  if (as === "base64") return text.trim();
  if (as === "text") return base64(new TextEncoder().encode(text));
  const digits = text.replace(/[^0-9a-f]/gi, "");
  return base64(Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)));
}

function decode(encoded: string, as: Encoding): string {
  if (as === "base64") return encoded;
  let content: Uint8Array;
  try {
    content = Uint8Array.from(atob(encoded.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
  } catch {
    return encoded;
  }
  if (as === "text") return new TextDecoder().decode(content);
  return Array.from(content, (each) => each.toString(16).padStart(2, "0")).join(" ");
}

function base64(content: Uint8Array): string {
  let text = "";
  for (let start = 0; start < content.length; start += 8192)
    text += String.fromCharCode(...content.subarray(start, start + 8192));
  return btoa(text);
}

function Message({
  id,
  message,
  value,
  set,
  optional,
}: {
  id: string;
  message: DescMessage;
  value: JsonValue | undefined;
  set: Set;
  optional: boolean;
}) {
  const wrapped = WRAPPED[message.typeName];
  if (wrapped !== undefined) return <Input id={id} simple={{ scalar: wrapped }} value={value} set={set} />;
  if (message.typeName === "google.protobuf.Timestamp") return <Time id={id} value={value} set={set} />;
  if (message.typeName === "google.protobuf.Duration") return <Words id={id} value={value} set={set} hint="1.5s" />;
  if (message.typeName === "google.protobuf.FieldMask")
    return <Words id={id} value={value} set={set} hint="user.name,user.photo" />;
  if (message.typeName in FREE_JSON)
    return <Json id={id} value={value} set={set} start={FREE_JSON[message.typeName]!} />;
  if (value === undefined) {
    return (
      <button id={id} type="button" onClick={() => set({})}>
        Add {message.name}
      </button>
    );
  }
  return (
    <fieldset id={id} aria-label={message.name}>
      <Fields message={message} value={isObject(value) ? value : {}} set={set} />
      {optional && (
        <button type="button" class="quiet" onClick={() => set(undefined)}>
          Remove {message.name}
        </button>
      )}
    </fieldset>
  );
}

function Time({ id, value, set }: { id: string; value: JsonValue | undefined; set: Set }) {
  return (
    <div class="row">
      <Words id={id} value={value} set={set} hint="2026-01-31T12:00:00Z" />
      <button type="button" onClick={() => set(new Date().toISOString())}>
        Now
      </button>
    </div>
  );
}

function Words({ id, value, set, hint }: { id: string; value: JsonValue | undefined; set: Set; hint: string }) {
  return (
    <input
      id={id}
      class="mono"
      placeholder={hint}
      value={typeof value === "string" ? value : ""}
      onInput={(event) => set(event.currentTarget.value.trim() || undefined)}
    />
  );
}

/** A value of any form, as JSON. */
function Json({ id, value, set, start }: { id: string; value: JsonValue | undefined; set: Set; start: string }) {
  const [text, setText] = useState(value === undefined ? "" : JSON.stringify(value, null, 2));
  const [wrong, setWrong] = useState("");
  const changed = (typed: string) => {
    setText(typed);
    try {
      set(typed.trim() ? (JSON.parse(typed) as JsonValue) : undefined);
      setWrong("");
    } catch (error) {
      setWrong(String(error).replace(/^SyntaxError: /, ""));
    }
  };
  return (
    <>
      <textarea
        id={id}
        class="mono"
        rows={Math.max(2, text.split("\n").length)}
        placeholder={start}
        value={text}
        aria-invalid={wrong !== ""}
        onInput={(event) => changed(event.currentTarget.value)}
      />
      {wrong && <p class="problem">{wrong}</p>}
    </>
  );
}

function List({
  id,
  field,
  value,
  set,
}: {
  id: string;
  field: DescField & { fieldKind: "list" };
  value: JsonValue[];
  set: Set;
}) {
  const replace = (values: JsonValue[]) => set(values.length ? values : undefined);
  return (
    <div class="items">
      {value.map((each, index) => (
        <div class="item" key={index}>
          <Item
            id={`${id}-${index}`}
            field={field}
            label={`${field.name} ${index + 1}`}
            value={each}
            set={(next) => replace(value.with(index, next ?? blank(field)))}
          />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${field.name} ${index + 1}`}
            onClick={() => replace(value.filter((_, other) => other !== index))}
          >
            ×
          </button>
        </div>
      ))}
      <button id={id} type="button" onClick={() => replace([...value, blank(field)])}>
        Add to {field.name}
      </button>
    </div>
  );
}

function Pairs({
  id,
  field,
  value,
  set,
}: {
  id: string;
  field: DescField & { fieldKind: "map" };
  value: JsonObject;
  set: Set;
}) {
  const entries = Object.entries(value);
  const replace = (pairs: [string, JsonValue][]) => set(pairs.length ? Object.fromEntries(pairs) : undefined);
  const unused = () => {
    const start = field.mapKey === ScalarType.STRING ? "key" : field.mapKey === ScalarType.BOOL ? "true" : "1";
    for (let more = 0; ; more++) {
      const key = more === 0 ? start : start === "key" ? `key${more}` : start === "true" ? "false" : String(more + 1);
      if (!(key in value) || more > 1000) return key;
    }
  };
  return (
    <div class="items">
      {entries.map(([key, each], index) => (
        <div class="item" key={index}>
          <input
            class="mono key"
            aria-label={`Key ${index + 1} of ${field.name}`}
            value={key}
            onChange={(event) => replace(entries.with(index, [event.currentTarget.value, each]))}
          />
          <Item
            id={`${id}-${index}`}
            field={field}
            label={`Value of ${key}`}
            value={each}
            set={(next) => replace(entries.with(index, [key, next ?? blank(field)]))}
          />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${key}`}
            onClick={() => replace(entries.filter((_, other) => other !== index))}
          >
            ×
          </button>
        </div>
      ))}
      <button id={id} type="button" onClick={() => replace([...entries, [unused(), blank(field)]])}>
        Add to {field.name}
      </button>
    </div>
  );
}

type Many = DescField & { fieldKind: "list" | "map" };

function Item({
  id,
  field,
  value,
  set,
  label,
}: {
  id: string;
  field: Many;
  value: JsonValue;
  set: Set;
  label: string;
}) {
  if (field.message) return <Message id={id} message={field.message} value={value} set={set} optional={false} />;
  const simple: Simple = field.enum ? { enum: field.enum } : { scalar: field.scalar };
  return <Input id={id} simple={simple} value={value} set={set} label={label} secret={isSecret(field)} />;
}

/** What an item is before anything is typed. */
function blank(field: Many): JsonValue {
  if (field.message) return blankMessage(field.message);
  if (field.enum) return field.enum.values[0]?.name ?? 0;
  return blankScalar(field.scalar!);
}

function initial(field: DescField): JsonValue {
  if (field.fieldKind === "message") return blankMessage(field.message);
  if (field.fieldKind === "enum") return field.enum.values[0]?.name ?? 0;
  return field.fieldKind === "scalar" ? blankScalar(field.scalar) : {};
}

function blankMessage(message: DescMessage): JsonValue {
  const wrapped = WRAPPED[message.typeName];
  if (wrapped !== undefined) return blankScalar(wrapped);
  if (message.typeName === "google.protobuf.Timestamp") return new Date().toISOString();
  if (message.typeName === "google.protobuf.Duration") return "0s";
  if (message.typeName === "google.protobuf.FieldMask") return "";
  if (message.typeName === "google.protobuf.ListValue") return [];
  if (message.typeName === "google.protobuf.Value") return "";
  return {};
}

function blankScalar(scalar: ScalarType): JsonValue {
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return "";
  if (scalar === ScalarType.BOOL) return false;
  return LONG.has(scalar) ? "0" : 0;
}

function typeOf(field: DescField): string {
  const one =
    field.fieldKind === "message"
      ? field.message.name
      : field.fieldKind === "enum"
        ? field.enum.name
        : field.fieldKind === "scalar"
          ? ScalarType[field.scalar].toLowerCase()
          : (field.message?.name ?? field.enum?.name ?? ScalarType[field.scalar!].toLowerCase());
  if (field.fieldKind === "list") return `repeated ${one}`;
  if (field.fieldKind === "map") return `map of ${ScalarType[field.mapKey].toLowerCase()} to ${one}`;
  return one;
}

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
