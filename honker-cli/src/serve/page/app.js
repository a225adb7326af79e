'use strict';
// The page: it draws what the event stream says, and asks the API for the rest when something was committed. Nothing polls, and
// nothing from the file is ever read as HTML: all of it becomes text nodes.

const $ = id => document.getElementById(id);
const main = $('main');
let state = null;       // the last overview
let info = {};          // what only GET api/overview says: write, file, token
let screen = null;      // what is drawn: {name, live, load, ...}
let source = null;

// --- Elements. ---

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'rect', 'text', 'line', 'title', 'g']);

function el(tag, attributes, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name in node && ['value', 'checked', 'disabled', 'hidden'].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child.nodeType ? child : document.createTextNode(String(child)));
  }
  return node;
}

// Draws anew, and keeps the focus where it was.
function draw(into, ...children) {
  const key = document.activeElement && into.contains(document.activeElement) && document.activeElement.dataset.key;
  into.replaceChildren(...children.flat(9).filter(Boolean));
  if (key) {
    const again = into.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (again) again.focus({ preventScroll: true });
  }
}

function table(columns, rows, nothing) {
  if (!rows.length) return el('p', { class: 'quiet' }, nothing);
  const head = columns.map(column => {
    const name = column.nodeType ? column : String(column).replace(/^#/, '');
    return el('th', { scope: 'col', class: String(column).startsWith('#') ? 'n' : null }, name);
  });
  return el('div', { class: 'scroll' }, el('table', null, el('thead', null, el('tr', null, head)), el('tbody', null, rows)));
}
const td = (...content) => el('td', null, content);
const num = n => el('td', { class: 'n' }, n === null || n === undefined ? '–' : Number(n).toLocaleString());
const panel = (title, ...content) => el('section', { class: 'panel' }, title && el('h2', null, title), content);
const button = (text, key, act, kind) => el('button', { type: 'button', 'data-key': key, onclick: act, class: kind }, text);
const jobLink = (id, key) => el('a', { href: `#/job/${id}`, 'data-key': key || `job-${id}` }, id);

// --- Times. The page counts ages itself. ---

const now = () => Date.now() / 1000;
function span(s) {
  s = Math.max(0, Math.round(s));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}
function aged(at) {
  const left = at - now();
  return left > 0.5 ? `in ${span(left)}` : `${span(-left)} ago`;
}
function when(at) {
  if (at === null || at === undefined) return '–';
  const date = new Date(at * 1000);
  const title = isNaN(date) ? String(at) : date.toLocaleString();
  return el('time', { 'data-at': at, title }, aged(at));
}
setInterval(() => {
  if (document.hidden) return;
  for (const node of document.querySelectorAll('time[data-at]')) {
    const text = aged(Number(node.dataset.at));
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);

// --- Asking. ---

async function ask(path, body) {
  const options = body === undefined ? {} : { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(`api/${path}`, options);
  if (answer.status === 401) { location.href = 'login'; throw new Error('logged out'); }
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}
const query = object => new URLSearchParams(Object.entries(object).filter(([, value]) => value !== undefined && value !== '')).toString();

let saying;
function say(text) {
  $('said').textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $('said').textContent = ''; }, 6000);
}
async function act(what, body, done) {
  try { say(done(await ask(what, body))); } catch (error) { say(error.message); }
  refresh();
}
const jobs = n => (n === 1 ? '1 job' : `${n.toLocaleString()} jobs`);
// A bulk action, piece by piece: an answer with a cursor is not the end. `next` is the body that goes on from there.
async function all(what, body, next, word) {
  const sum = { changed: 0, conflicts: 0 };
  for (;;) {
    const done = await ask(what, body);
    sum.changed += done.changed; sum.conflicts += done.conflicts;
    if (done.cursor === null) return sum;
    say(`${changed(word)(sum)}, going on …`);
    body = next(done.cursor);
  }
}
// The names that may be chosen; whether they are others than before.
function offer(into, names, option) {
  const text = JSON.stringify(names);
  if (into.dataset.names === text) return;
  into.dataset.names = text;
  into.replaceChildren(...names.map(option || (value => el('option', { value }))));
}
const changed = word => answer => `${jobs(answer.changed)} ${word}` + (answer.conflicts ? `, ${answer.conflicts} passed over` : '');

// A question, answered by yes or no; with a field, by its text.
function question(text, field) {
  const dialog = $('ask');
  $('question').textContent = text;
  $('field').hidden = !field;
  $('value').required = Boolean(field);
  $('value').value = '';
  dialog.returnValue = 'no';
  dialog.showModal();
  (field ? $('value') : $('yes')).focus();
  return new Promise(resolve => dialog.addEventListener('close', () => {
    const yes = dialog.returnValue === 'yes';
    resolve(field ? (yes && $('value').value) || null : yes);
  }, { once: true }));
}

// --- Charts, in SVG attributes: the policy forbids styles. ---

function bars(points, label) {
  const width = 600, height = 110, base = 92;
  const top = Math.max(1, ...points.map(point => point.ok + point.no));
  const step = width / points.length;
  const shapes = points.map((point, at) => {
    const [ok, no] = [point.ok, point.no].map(n => (n / top) * (base - 14));
    const x = at * step, w = Math.max(0.5, step - (step > 4 ? 1.5 : 0));
    return el('g', null, el('title', null, `${point.name}: ${point.title}`),
      el('rect', { class: 'ok', x, y: base - ok, width: w, height: ok }),
      el('rect', { class: 'no', x, y: base - ok - no, width: w, height: no }),
      el('rect', { x, y: 0, width: w, height: base, 'fill-opacity': 0 }));
  });
  const names = points.filter(point => point.axis).map(point => el('text', { x: points.indexOf(point) * step, y: height - 4 }, point.axis));
  return el('svg', { class: 'chart', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
    el('line', { x1: 0, x2: width, y1: base, y2: base }), shapes, names, el('text', { x: 0, y: 10 }, top.toLocaleString()));
}

function historyChart(minutes, of, per) {
  const last = Math.floor(now() / 60), points = [];
  const first = last - of + 1;
  for (let at = first; at <= last; at += per) {
    const within = minutes.filter(minute => minute.minute >= at && minute.minute < at + per);
    const ok = within.reduce((sum, minute) => sum + minute.done, 0), no = within.reduce((sum, minute) => sum + minute.failed, 0);
    const name = new Date(at * 60000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    points.push({ ok, no, name, title: `${ok} done, ${no} failed` });
  }
  for (let n = 0; n < 4; n++) { const point = points[Math.floor((n * points.length) / 4)]; point.axis = point.name; }
  return bars(points, `Jobs done and tries failed, the last ${of / 60} h`);
}

function histogramChart(queues, kind, name) {
  const buckets = new Map();
  for (const queue of queues) for (const { up_to_s, count } of queue[kind].buckets) buckets.set(up_to_s, (buckets.get(up_to_s) || 0) + count);
  const bound = s => (s === null ? 'longer' : s < 1 ? `${s * 1000} ms` : span(s));
  const sign = kind === 'wait' ? '< ' : '≤ ';
  const points = [...buckets].map(([s, count]) => {
    const text = s === null ? 'longer' : sign + bound(s);
    return { ok: count, no: 0, name: text, title: jobs(count), axis: text };
  });
  return points.length ? bars(points, name) : el('p', { class: 'quiet' }, 'Nothing was counted yet.');
}

// --- Screens: each has parts that stay, and a `live` part that is drawn anew. ---

const screens = {
  overview() {
    const live = el('div'), charts = el('div', { class: 'grid' });
    let queue = '', loadedAt = 0;
    const choose = el('select', { id: 'of', onchange: () => { queue = choose.value; loadedAt = 0; screen.load(); } });
    const of = el('div', { class: 'bar' }, el('label', null, 'Charts of', choose));
    main.replaceChildren(el('h1', null, 'Overview'), live, of, charts);
    return {
      async load() {
        if (!state) return;
        const names = ['', ...state.queues.map(one => one.queue)];
        offer(choose, names, name => el('option', { value: name, selected: name === queue }, name || 'all queues'));
        draw(live, queuesPanel(), workersPanel());
        // Counts come every ten seconds.
        if (now() - loadedAt < 5) return;
        loadedAt = now();
        const { minutes } = await ask(`history?${query({ minutes: 1440, queue })}`);
        const queues = state.queues.filter(one => !queue || one.queue === queue);
        const keys = el('p', { class: 'quiet' }, el('span', { class: 'key' }), 'done', el('span', { class: 'key no' }), 'failed');
        draw(charts, panel('The last hour', historyChart(minutes, 60, 1), keys), panel('The last day', historyChart(minutes, 1440, 15), keys.cloneNode(true)),
          panel('Waiting, since the job was due', histogramChart(queues, 'wait', 'How long jobs waited')),
          panel('Running, from claim to settlement', histogramChart(queues, 'run', 'How long jobs ran')));
      },
    };
  },

  jobs(given) {
    const filter = Object.fromEntries(given);
    const chosen = new Set();
    let every = false, page = null;
    const go = changes => { location.hash = `#/jobs?${query({ ...filter, cursor: undefined, ...changes })}`; };
    const field = (name, label, more) => el('label', null, label, el('input', { id: `filter-${name}`, value: filter[name] || '', autocomplete: 'off',
      onchange: event => go({ [name]: event.target.value.trim() || undefined }), ...more }));
    // What the newest jobs have is offered.
    const completed = (name, label, more) => {
      const list = el('datalist', { id: `values-${name}` });
      const load = async () => { try { offer(list, (await ask(`values?${query({ of: name })}`)).values); } catch (error) { say(error.message); } };
      return [field(name, label, { list: list.id, onfocus: load, ...more }), list];
    };
    const local = at => at && new Date((at - new Date(at * 1000).getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 16);
    const time = (name, label) => field(name, label, { type: 'datetime-local', value: local(Number(filter[name])) || '',
      onchange: event => go({ [name]: event.target.value ? Math.floor(new Date(event.target.value) / 1000) : undefined }) });
    const states = new Set((filter.state || '').split(',').filter(Boolean));
    const boxes = ['due', 'delayed', 'processing', 'blocked', 'dead', 'done'].map(name => el('label', { class: 'check' },
      el('input', { type: 'checkbox', id: `state-${name}`, checked: states.has(name), onchange: event => {
        if (event.target.checked) states.add(name); else states.delete(name);
        go({ state: [...states].join(',') || undefined });
      } }), name));
    const bar = el('form', { class: 'bar panel', role: 'search', onsubmit: event => event.preventDefault() },
      field('queue', 'Queue', { list: 'queues' }), completed('error', 'Error contains'), completed('unique_key', 'Unique key'), completed('worker_id', 'Worker'),
      completed('metadata', 'Metadata', { placeholder: '{"tenant": "acme"}' }), field('batch_id', 'Batch', { inputmode: 'numeric', size: 8 }),
      field('min_id', 'From id', { inputmode: 'numeric', size: 8 }), field('max_id', 'To id', { inputmode: 'numeric', size: 8 }),
      time('created_from', 'Enqueued from'), time('created_to', 'Enqueued to'),
      el('fieldset', null, el('legend', null, 'State'), boxes));
    const live = el('div');
    main.replaceChildren(el('h1', null, 'Jobs'), bar, live);
    const meant = () => {
      const { cursor, limit, order, ...conditions } = filter;
      if (conditions.state) conditions.state = conditions.state.split(',');
      if (conditions.metadata) conditions.metadata = JSON.parse(conditions.metadata);
      for (const name of ['created_from', 'created_to', 'ended_from', 'ended_to']) if (conditions[name]) conditions[name] = Number(conditions[name]);
      return conditions;
    };
    async function bulk(action, verb, word) {
      try {
        const filters = every ? [meant()] : [...chosen].map(id => ({ min_id: id, max_id: id }));
        const count = every ? await ask('jobs/apply', { filter: filters[0], action: typeof action === 'string' ? action : { move: 'x' }, dry_run: true }) : { found: chosen.size };
        const answer = await question(`${verb} ${count.at_least ? 'at least ' : ''}${jobs(count.found)}?`, typeof action !== 'string');
        if (!answer) return;
        const real = typeof action === 'string' ? action : action(answer);
        const sum = { changed: 0, conflicts: 0 };
        for (const one of filters) {
          const body = cursor => ({ filter: { ...one, cursor }, action: real });
          const done = await all('jobs/apply', body(), body, word);
          sum.changed += done.changed; sum.conflicts += done.conflicts;
        }
        say(changed(word)(sum));
        chosen.clear(); every = false;
      } catch (error) { say(error.message); }
      refresh();
    }
    function paint() {
      const rows = page.jobs.map(job => el('tr', null,
        info.write && td(el('input', { type: 'checkbox', 'data-key': `box-${job.id}`, 'aria-label': `job ${job.id}`, checked: every || chosen.has(job.id), disabled: every,
          onchange: event => { if (event.target.checked) chosen.add(job.id); else chosen.delete(job.id); paint(); } })),
        el('td', { class: 'n' }, jobLink(job.id)), td(job.queue), td(stateOf(job)), el('td', { class: 'n' }, `${job.attempts}/${job.max_attempts}`), td(when(timeOf(job))),
        el('td', { class: 'long', title: job.last_error || job.payload }, job.last_error || job.payload)));
      const none = !every && !chosen.size;
      const tools = info.write && el('div', { class: 'bar' },
        el('label', { class: 'check' }, el('input', { type: 'checkbox', id: 'all', 'data-key': 'all', checked: every, onchange: event => { every = event.target.checked; paint(); } }), 'all that match'),
        [['Retry', 'retry', 'retried'], ['Run now', 'run_now', 'made due'], ['Cancel', 'cancel', 'cancelled'], ['Delete', 'delete', 'deleted', 'danger']].map(([verb, action, word, kind]) =>
          el('button', { type: 'button', 'data-key': action, disabled: none, class: kind, onclick: () => bulk(action, verb, word) }, verb)),
        el('button', { type: 'button', 'data-key': 'move', disabled: none, onclick: () => bulk(queue => ({ move: queue }), 'Move', 'moved') }, 'Move …'));
      const columns = ['#Id', 'Queue', 'State', '#Attempts', 'When', 'Error or payload'];
      if (info.write) columns.unshift(el('span', null, ''));
      draw(live, tools, table(columns, rows, page.cursor ? 'None of those that were looked at is like that; there are older ones.' : 'No job is like that.'), el('p', { class: 'bar' },
        filter.cursor && el('a', { href: `#/jobs?${query({ ...filter, cursor: undefined })}`, 'data-key': 'first' }, 'Newest'),
        page.cursor && el('a', { href: `#/jobs?${query({ ...filter, cursor: page.cursor })}`, 'data-key': 'next' }, 'Older')));
    }
    return { async load() { page = await ask(`jobs?${query(filter)}`); paint(); } };
  },

  job(given, id) {
    const live = el('div'), again = el('div');
    main.replaceChildren(el('h1', null, `Job ${id}`), live, again);
    let asked = false;
    return {
      async load() {
        let job;
        try { job = await ask(`jobs/${encodeURIComponent(id)}`); } catch (error) { draw(live, el('p', null, error.message)); return; }
        const facts = [['Queue', job.queue], ['State', stateOf(job)], ['Attempts', `${job.attempts} of ${job.max_attempts}`], ['Priority', job.priority],
          ['Worker', job.worker_id], ['Unique key', job.unique_key], ['Concurrency key', job.concurrency_key], ['Batch', job.batch_id],
          ['Metadata', job.metadata && JSON.stringify(job.metadata)]].filter(([, value]) => value !== null && value !== undefined);
        const one = (action, verb, word, kind) => button(verb, action, async () => {
          if (await question(`${verb} job ${id}?`)) act('jobs/apply', { filter: { min_id: id, max_id: id }, action }, changed(word));
        }, kind);
        draw(live,
          panel(null, el('dl', null, facts.map(([name, value]) => [el('dt', null, name), el('dd', null, value)])),
            info.write && el('div', { class: 'bar' }, job.state === 'dead' && one('retry', 'Retry', 'retried'), job.state === 'delayed' && one('run_now', 'Run now', 'made due'),
              ['due', 'delayed', 'processing', 'blocked'].includes(job.state) && one('cancel', 'Cancel', 'cancelled'), one('delete', 'Delete', 'deleted', 'danger'))),
          panel('What happened', table(['When', 'What'], job.timeline.map(event => el('tr', null, td(when(event.at)), td(event.what))), '')),
          job.last_error && panel('Error', el('pre', null, job.last_error)),
          panel('Payload', job.payload_cut && el('p', { class: 'warn' }, 'It is longer: this is its beginning.'), el('pre', null, pretty(job.payload))),
          job.steps.length > 0 && panel('Steps', job.steps.map(step => [el('h3', null, step.name), el('pre', null, pretty(step.value))])),
          job.result !== null && panel('Result', el('pre', null, pretty(job.result))));
        if (!asked && info.write && !job.payload_cut) {
          asked = true;
          const queue = el('input', { id: 'again-queue', value: job.queue, list: 'queues' }), payload = el('textarea', { id: 'again-payload', spellcheck: 'false' }, pretty(job.payload));
          // What would tie it to the old one (its key, its batch) or is over (its times) is not taken along.
          const kept = ['priority', 'max_attempts', 'max_run_s', 'metadata', 'concurrency_key'];
          const options = Object.fromEntries(kept.map(name => [name, job[name]]).filter(([, value]) => value !== null && value !== undefined));
          again.replaceChildren(panel('Edit and enqueue again', el('label', { for: 'again-queue' }, 'Queue '), queue, el('label', { for: 'again-payload' }, ' Payload'), payload,
            el('p', { class: 'quiet' }, 'With its priority, attempts, longest run, metadata and concurrency key; without its unique key and batch; due now.'),
            el('div', { class: 'bar' }, button('Enqueue', 'again', () => act('jobs', { queue: queue.value, payload: payload.value, options }, done => `job ${done.id} ${done.status}`), 'main'))));
        }
      },
    };
  },

  dead() {
    const live = el('div');
    let queue = '';
    const choose = el('select', { id: 'dead-of', onchange: () => { queue = choose.value; live.replaceChildren(); rest(); refresh(); } });
    main.replaceChildren(el('h1', null, 'Dead jobs, by error'), el('div', { class: 'bar' }, el('label', null, 'Of', choose)), live);
    return {
      async load() {
        const names = ['', ...(state ? state.queues.filter(one => one.depth.dead).map(one => one.queue) : [])];
        offer(choose, names, name => el('option', { value: name, selected: name === queue }, name || 'all queues'));
        queue = choose.value;
        // What is shown is of this one, whatever is chosen meanwhile.
        const of = queue || undefined;
        const { groups } = await ask(`dead?${query({ queue })}`);
        if (queue !== (of || '')) return;
        draw(live, panel(null, table(['#Jobs', 'Error', 'Newest', 'Queue', 'Died', info.write ? 'Action' : ''], groups.map((group, at) => el('tr', null, num(group.count),
          el('td', { class: 'wrap' }, group.error === null ? el('em', null, 'none') : group.error), td(jobLink(group.newest.id)), td(group.newest.queue), td(when(group.newest.died_at)),
          td(info.write && button('Retry all', `group-${at}`, async () => {
            const body = cursor => ({ queue: of, error: group.error, cursor });
            if (!await question(`Retry ${jobs(group.count)}${of ? ` of “${of}”` : ''} that died of “${group.error || 'nothing'}”?`)) return;
            try { say(changed('retried')(await all('dead/retry', body(), body, 'retried'))); } catch (error) { say(error.message); }
            refresh();
          })))), 'No job is dead.')));
      },
    };
  },

  schedules() {
    const live = el('div');
    main.replaceChildren(el('h1', null, 'Schedules'), live);
    return {
      async load() {
        const { schedules } = await ask('schedules');
        const action = (schedule, action, text) => button(text, `${action}-${schedule.name}`, async () => {
          if (await question(`${text} “${schedule.name}”?`)) act('schedules/action', { name: schedule.name, action }, done => (done.job_id ? `job ${done.job_id} enqueued` : `“${schedule.name}”: done`));
        });
        draw(live, el('p', { class: state && state.leader ? 'quiet' : 'warn' }, state && state.leader ? `${state.leader} leads.` : 'Nobody leads: nothing is fired.'),
          panel(null, table(['Name', 'Queue', 'When', 'State', 'Last fire', 'Next', 'After that', info.write ? 'Action' : ''], schedules.map(schedule => el('tr', null, td(schedule.name), td(schedule.queue),
            td(schedule.words, el('br'), el('code', null, schedule.cron_expr)), td(schedule.error ? el('span', { class: 'bad' }, schedule.error) : schedule.enabled ? 'on' : 'paused'),
            td(when(schedule.last_fire_at)), td(when(schedule.next_fire_at)), td(schedule.next.map(next => el('div', { class: 'quiet local' }, next.local))),
            td(info.write && el('div', { class: 'bar' }, action(schedule, schedule.enabled ? 'pause' : 'resume', schedule.enabled ? 'Pause' : 'Resume'), action(schedule, 'run_now', 'Run now'))))), 'There is no schedule.')));
      },
    };
  },

  streams() {
    const live = el('div');
    main.replaceChildren(el('h1', null, 'Streams'), live);
    return {
      async load() {
        const { streams } = await ask('streams');
        draw(live, streams.length ? streams.map(topic => panel(topic.topic, el('p', { class: 'quiet' }, `${topic.events.toLocaleString()} ${topic.events === 1 ? 'event' : 'events'}`, topic.last_offset !== null && `, offsets ${topic.first_offset} to ${topic.last_offset}, the newest `, topic.last_at !== null && when(topic.last_at)),
          table(['Consumer', '#Offset', '#Lag'], topic.consumers.map(consumer => el('tr', null, td(consumer.name), el('td', { class: 'n' }, consumer.offset), num(consumer.lag))), 'Nobody has saved an offset.'))) : el('p', { class: 'quiet' }, 'There is no stream.'));
      },
    };
  },

  notifications() {
    const live = el('div');
    main.replaceChildren(el('h1', null, 'Notifications, as they pass'), live);
    return {
      async load() {
        if (state) draw(live, panel(null, table(['#Id', 'Channel', 'Sent', 'Payload'], state.notifications.map(one => el('tr', null, el('td', { class: 'n' }, one.id), td(one.channel), td(when(one.created_at)), el('td', { class: 'long', title: one.payload }, one.payload))), 'None is kept.')));
      },
    };
  },

  locks() {
    const live = el('div');
    main.replaceChildren(el('h1', null, 'Locks and rate limits'), live);
    return {
      async load() {
        const { locks, rate_limits } = await ask('locks');
        draw(live, panel('Locks', table(['Name', 'Owner', 'Until'], locks.map(lock => el('tr', null, td(lock.name), el('td', { class: 'wrap' }, lock.owner), td(when(lock.expires_at), lock.stale && el('span', { class: 'warn' }, ' stale')))), 'Nobody has a lock.')),
          panel('Rate limits', table(['Name', '#Used', 'Window began'], rate_limits.map(limit => el('tr', null, td(limit.name), num(limit.count), td(when(limit.window_start)))), 'None was used.')));
      },
    };
  },
};

function queuesPanel() {
  const rows = state.queues.map(({ queue, depth, settings, last_hour }) => el('tr', null,
    td(el('a', { href: `#/jobs?${query({ queue })}`, 'data-key': `queue-${queue}` }, queue), settings.paused && el('span', { class: 'warn' }, ' paused')),
    num(depth.due), el('td', { class: 'n' }, depth.oldest_due_age_s === null ? '–' : when(state.now - depth.oldest_due_age_s)), num(depth.delayed), num(depth.processing), num(depth.blocked),
    el('td', { class: `n ${depth.dead ? 'bad' : ''}` }, depth.dead.toLocaleString()), num(last_hour.done), num(last_hour.failed),
    td(info.write && button(settings.paused ? 'Resume' : 'Pause', `pause-${queue}`, async () => {
      const paused = !settings.paused;
      if (await question(`${paused ? 'Pause' : 'Resume'} “${queue}”?`)) act('queues/settings', { queue, settings: { paused } }, () => `“${queue}” ${paused ? 'is paused' : 'goes on'}`);
    }))));
  const left = state.queues_left > 0 && el('p', { class: 'quiet' }, `and ${state.queues_left.toLocaleString()} more with fewer jobs`);
  return panel('Queues', table(['Queue', '#Due', '#Oldest', '#Delayed', '#Running', '#Blocked', '#Dead', '#Done, 1 h', '#Failed, 1 h', info.write ? 'Action' : ''], rows, 'No queue has had a job yet.'), left);
}

function workersPanel() {
  const rows = state.workers.flatMap(worker => worker.jobs.map((job, at) => el('tr', null, el('td', { class: 'wrap' }, at ? '' : worker.worker_id.replace(/@[0-9a-f]{32}$/, '')), td(jobLink(job.id)), td(job.queue),
    el('td', { class: 'n' }, `${job.attempts}/${job.max_attempts}`), td(job.claim_expires_at < now() ? el('span', { class: 'warn' }, 'lapsed ') : null, when(job.claim_expires_at)))));
  const left = state.queues.reduce((sum, { depth }) => sum + depth.processing, 0) - rows.length;
  return panel('Workers, and what they hold', table(['Worker', 'Job', 'Queue', '#Attempt', 'Until'], rows, 'Nobody works at a job now.'),
    left > 0 && el('p', { class: 'quiet' }, `and ${jobs(left)} more`));
}

const stateOf = job => el('span', { class: { dead: 'bad', done: 'good', blocked: 'warn' }[job.state] }, job.state);
const timeOf = job => ({ delayed: job.run_at, processing: job.claim_expires_at, dead: job.died_at, done: job.finished_at }[job.state] || job.run_at);

// A payload that JavaScript would show with other numbers is shown as it is.
function pretty(text) {
  try {
    const value = JSON.parse(text);
    return JSON.stringify(value) === text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1') ? JSON.stringify(value, null, 2) : text;
  } catch { return text; }
}

// --- What is drawn, and when. ---

function route() {
  const [path, given] = (location.hash.slice(2) || 'overview').split('?');
  const [name, id] = path.split('/');
  const known = screens[name] ? name : 'overview';
  const current = known === 'job' ? 'jobs' : known;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.screen === current) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  document.title = `honker: ${known}`;
  const focused = document.activeElement && document.activeElement.id;
  screen = screens[known](new URLSearchParams(given), id && decodeURIComponent(id));
  rest();
  if (focused && focused.includes('-') && $(focused)) $(focused).focus();
  refresh();
}

// One request at a time; what happens meanwhile is asked for after it, and a pause: many pages share one server.
let loading = false, again = false;
async function refresh() {
  if (loading) { again = true; return; }
  loading = true;
  const of = screen, started = performance.now();
  try { await of.load(); } catch (error) { if (of === screen) say(error.message); }
  // Another screen was chosen meanwhile: it does not wait.
  if (of === screen) await new Promise(resolve => { rest = resolve; setTimeout(resolve, Math.max(100, 9 * (performance.now() - started))); });
  loading = false;
  // A hidden tab asks when it is seen again.
  if (again && !document.hidden) { again = false; refresh(); }
}
let rest = () => {};

function live(text, off) {
  $('live').textContent = text;
  $('live').className = off ? 'off' : '';
}

function connect() {
  if (source || document.hidden) return;
  source = new EventSource('api/events');
  source.addEventListener('state', event => {
    state = JSON.parse(event.data);
    live('live');
    offer($('queues'), state.queues.map(queue => queue.queue));
    refresh();
  });
  source.addEventListener('trouble', event => live(JSON.parse(event.data).error, true));
  source.onerror = () => {
    live('not connected', true);
    // A browser gives up after an answer that is no stream.
    if (source && source.readyState === EventSource.CLOSED) { source = null; setTimeout(connect, 3000); }
  };
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) { connect(); return; }
  if (source) source.close();
  source = null;
  live('asleep', true);
});

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $('ask').open) return;
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== 'checkbox';
  if (event.key === 'Escape') { if (typing) event.target.blur(); else history.back(); return; }
  if (typing) return;
  const links = document.querySelectorAll('nav a');
  if (event.key >= '1' && event.key <= String(links.length)) { location.hash = links[event.key - 1].getAttribute('href'); main.focus(); }
  if (event.key === '/') { event.preventDefault(); if (!location.hash.startsWith('#/jobs')) location.hash = '#/jobs'; setTimeout(() => { const field = $('filter-queue'); if (field) field.focus(); }); }
});

window.addEventListener('hashchange', route);
(async () => {
  try {
    info = await ask('overview');
    state = info;
    $('file').textContent = info.file;
    $('logout').hidden = !info.token;
  } catch (error) { say(error.message); }
  route();
  connect();
})();
