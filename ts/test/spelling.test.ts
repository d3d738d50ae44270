/** A handler whose name is misspelt is told when the plugin is made, not by the first call. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { Plugin } from "../src/index.js";

const MISSPELT =
  /^TypeError: \w+ is no method of resolver\.v1\.AuthorizerService and would never be called; did you mean authorize\?$/;

/** A plugin with a service that the compiler has not looked at. */
function make(implementation: object): Plugin {
  return new Plugin({
    version: "v1.0.0",
    name: "x",
    services: (router) => router.service(AuthorizerService, implementation),
  });
}

test("a misspelt handler is refused, in an object and in a class", () => {
  class Judge {
    authorise(): object {
      return {};
    }
  }
  for (const implementation of [{ autohrize: () => ({}) }, { Authorize: () => ({}) }, new Judge()]) {
    assert.throws(() => make(implementation), MISSPELT);
  }
});

test("what is no handler by its name or its kind is left alone", () => {
  class Judge {
    readonly authorizes = "nothing";
    authorize(): object {
      return this.authorized();
    }
    authorized(): object {
      return {};
    }
  }
  for (const implementation of [new Judge(), { close: () => {} }, { authorizer: 1 }, {}]) make(implementation);
});
