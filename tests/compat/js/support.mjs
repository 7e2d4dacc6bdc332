// What all test files share: sandboxes that end with the tests, what the installed SDK offers, plain
// requests to a sandbox, and waiting without a fixed time.

import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'
import * as sdk from '@e2b/code-interpreter'

const { Sandbox } = sdk

const installed = (path) =>
  readFileSync(new URL(`../node_modules/${path}`, import.meta.url), 'utf8')

/** The version of the SDK under test. */
export const version = JSON.parse(installed('e2b/package.json')).version

const types = [
  installed('e2b/dist/index.d.ts'),
  installed('@e2b/code-interpreter/dist/index.d.ts'),
].join('\n')

/** Whether the types of the SDK declare a member of a class or an interface. */
export function offers(owner, member) {
  const declared = new RegExp(`^(?:declare class|interface) ${owner}\\b.*?^}`, 'gms')
  return [...types.matchAll(declared)].some(([body]) =>
    new RegExp(`^\\s+(?:static |private |readonly )*${member}\\??[(:;]`, 'm').test(body),
  )
}

/** Skips a test where the SDK's types do not declare what it uses, and says so. */
export const needs = (owner, member) => ({
  skip: offers(owner, member) ? false : `e2b ${version} has no \`${member}\` in ${owner}`,
})

/** What a call about a sandbox that there is not throws: early releases have one class for all. */
export const GoneError = sdk.SandboxNotFoundError ? sdk.NotFoundError : sdk.SandboxError

/** What a call with a wrong key throws. */
export const DeniedError = sdk.SandboxNotFoundError ? sdk.AuthenticationError : sdk.SandboxError

/** Keeps a command's input open: an SDK without the option always does. */
export const withInput = offers('CommandStartOpts', 'stdin') ? { stdin: true } : {}

const options = (more) => ({ timeoutMs: 1_200_000, ...more })

/** A sandbox that the tests of a file share, made before the first and killed after the last. */
export function shared(template = 'base') {
  const holder = {}
  before(async () => {
    holder.sandbox = await Sandbox.create(template, options())
  })
  after(() => holder.sandbox?.kill())
  return holder
}

/** Creates a sandbox that is killed when the test is over. */
export async function create(context, template = 'base', more = {}) {
  const sandbox = await Sandbox.create(template, options(more))
  context.after(() => sandbox.kill())
  return sandbox
}

/** Pauses a sandbox, by the name that the SDK has for it. */
export const pause = (sandbox) => (sandbox.pause ? sandbox.pause() : sandbox.betaPause())

/** Pauses a sandbox and connects to it. */
export async function again(sandbox) {
  await pause(sandbox)
  return Sandbox.connect(sandbox.sandboxId, options())
}

/** A plain request to a port of a sandbox; with `token`, it may do what the SDK may. */
export function request(sandbox, port, path, { token = true, headers = {}, ...more } = {}) {
  const edge = process.env.E2B_SANDBOX_URL
  const routing = edge
    ? { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': `${port}` }
    : {}
  const access = token ? { 'X-Access-Token': sandbox.envdAccessToken } : {}
  return fetch(`${edge ?? `https://${sandbox.getHost(port)}`}${path}`, {
    ...more,
    headers: { ...routing, ...access, ...headers },
  })
}

/** A plain request to the server's API; in a domain, to that domain's. */
export function api(path, more = {}) {
  const url = process.env.E2B_API_URL ?? `https://api.${process.env.E2B_DOMAIN}`
  return fetch(`${url}${path}`, { ...more, headers: { 'X-API-KEY': process.env.E2B_API_KEY } })
}

/** The port of the guest agent. */
export const ENVD = 49983

/** Asks until the answer is true; fails after two minutes. */
export async function until(what, check) {
  const deadline = Date.now() + 120_000
  for (;;) {
    const answer = await check()
    if (answer) return answer
    if (Date.now() > deadline) throw new Error(`${what}: not within two minutes`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

let number = 0

/** A path in a sandbox that no other test of the file uses. */
export const place = () => `/home/user/place${++number}`
